package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const longestMessage = 1 << 20

// query runs one statement as root, without a password, and returns its rows as text; NULL is empty.
func query(address, database, statement string, within time.Duration) ([][]string, error) {
	connection, err := net.DialTimeout("tcp", address, within)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	hello := []byte{0, 3, 0, 0} // protocol 3.0
	hello = append(hello, "user\x00root\x00database\x00"+database+"\x00\x00"...)
	if _, err := connection.Write(framed(hello)); err != nil {
		return nil, err
	}
	if _, err := untilReady(connection); err != nil {
		return nil, err
	}
	if _, err := connection.Write(append([]byte{'Q'}, framed([]byte(statement+"\x00"))...)); err != nil {
		return nil, err
	}
	rows, err := untilReady(connection)
	if err == nil {
		_, err = connection.Write(append([]byte{'X'}, framed(nil)...))
	}
	return rows, err
}

func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4)), body...)
}

// untilReady reads messages up to ReadyForQuery and returns the rows among them, or the error that the server sent.
func untilReady(connection io.Reader) ([][]string, error) {
	var rows [][]string
	var refused error
	for {
		kind, body, err := message(connection)
		if err != nil {
			return rows, errors.Join(refused, err)
		}
		switch kind {
		case 'R':
			if !bytes.Equal(body, []byte{0, 0, 0, 0}) {
				return nil, errors.New("the server wants a password")
			}
		case 'D':
			rows = append(rows, columns(body))
		case 'E':
			refused = errors.New(reason(body))
		case 'Z':
			return rows, refused
		}
	}
}

func message(connection io.Reader) (byte, []byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(connection, head); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length < 4 || length > longestMessage {
		return 0, nil, fmt.Errorf("a message of %d bytes is none of PostgreSQL's", length)
	}
	body := make([]byte, length-4)
	_, err := io.ReadFull(connection, body)
	return head[0], body, err
}

// columns takes a DataRow apart; the server is PostgreSQL itself, so its lengths are right.
func columns(body []byte) []string {
	values := make([]string, binary.BigEndian.Uint16(body))
	body = body[2:]
	for i := range values {
		length := int32(binary.BigEndian.Uint32(body))
		body = body[4:]
		if length > 0 {
			values[i] = string(body[:length])
			body = body[length:]
		}
	}
	return values
}

// reason returns the message of an ErrorResponse.
func reason(body []byte) string {
	for _, field := range bytes.Split(body, []byte{0}) {
		if len(field) > 0 && field[0] == 'M' {
			return string(field[1:])
		}
	}
	return "the server gave no reason"
}

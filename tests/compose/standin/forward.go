package main

import (
	"io"
	"log"
	"net"
	"time"
)

const dialTimeout = 5 * time.Second

// forward takes connections at listen and leads each to the address to, until stop is called.
func forward(listen, to string) (stop func(), err error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed: the process ends
			}
			go carry(client.(*net.TCPConn), to)
		}
	}()
	return func() { listener.Close() }, nil
}

func carry(client *net.TCPConn, to string) {
	defer client.Close()
	dialled, err := net.DialTimeout("tcp", to, dialTimeout)
	if err != nil {
		log.Printf("a client is sent away: %v", err)
		return
	}
	server := dialled.(*net.TCPConn)
	defer server.Close()
	back := make(chan struct{})
	go func() {
		copied(client, server)
		close(back)
	}()
	copied(server, client)
	<-back
}

// copied copies until from ends, and ends to, so that what is on its way still arrives.
func copied(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		from.Close()
		to.Close()
	}
	to.CloseWrite()
}

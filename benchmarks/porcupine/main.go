// Checks Jepsen's logs of a compare-and-set register with porcupine, one after the other, and prints JSON:
// {"logs": [{"name", "verdict", "seconds"}], "megabytes"}. The seconds are those of checking alone.
//
// Operations mean what they mean to lab/checks/linearizable.py: failed ones did not happen, and unknown ones return
// after all others, where nobody sees whether they happened.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"
)

const nothing = -1 << 40 // what the register holds at first: nil

type input struct {
	kind     string
	old, new int
}

type output struct {
	read    int
	unknown bool
}

type call struct {
	input   input
	outcome string
	read    int
	invoked int
	back    int
}

type result struct {
	Name    string  `json:"name"`
	Verdict string  `json:"verdict"`
	Seconds float64 `json:"seconds"`
}

var register = porcupine.Model{
	Init: func() interface{} { return nothing },
	Step: func(state, in, out interface{}) (bool, interface{}) {
		holds, asked, answer := state.(int), in.(input), out.(output)
		switch {
		case asked.kind == "read":
			return holds == answer.read, holds
		case asked.kind == "write":
			return true, asked.new
		case holds == asked.old:
			return true, asked.new
		}
		return answer.unknown, holds
	},
}

func number(text string) int {
	if text == "nil" {
		return nothing
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return value
}

func asked(kind string, words []string) input {
	switch kind {
	case "read":
		return input{kind: kind}
	case "write":
		return input{kind: kind, new: number(words[0])}
	}
	return input{kind, number(strings.Trim(words[0], "[")), number(strings.Trim(words[1], "]"))}
}

// parse returns the calls of a log; those without an answer have the outcome "info".
func parse(path string) []*call {
	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	var calls []*call
	open := map[string]*call{}
	lines := bufio.NewScanner(file)
	for at := 0; lines.Scan(); at++ {
		words := strings.Fields(lines.Text())
		if len(words) < 7 || words[1] != "jepsen.util" || !strings.HasPrefix(words[4], ":") {
			continue
		}
		process, event, kind, rest := words[3], words[4][1:], words[5][1:], words[6:]
		if event == "invoke" {
			made := &call{input: asked(kind, rest), outcome: "info", invoked: at}
			calls, open[process] = append(calls, made), made
			continue
		}
		made := open[process]
		made.outcome, made.back = event, at
		if kind == "read" && event == "ok" {
			made.read = number(rest[0])
		}
	}
	return calls
}

func operations(calls []*call) []porcupine.Operation {
	var found []porcupine.Operation
	for client, c := range calls {
		unknown := c.outcome == "info"
		if c.outcome == "fail" || (unknown && c.input.kind == "read") {
			continue
		}
		back := int64(c.back)
		if unknown {
			back = 1 << 40
		}
		found = append(found, porcupine.Operation{
			ClientId: client, Input: c.input, Call: int64(c.invoked), Output: output{c.read, unknown}, Return: back,
		})
	}
	return found
}

func main() {
	seconds, err := strconv.ParseFloat(os.Args[1], 64) // at most, for each log
	if err != nil {
		panic(err)
	}
	verdicts := map[porcupine.CheckResult]string{porcupine.Ok: "pass", porcupine.Illegal: "fail"}
	var results []result
	for _, path := range os.Args[2:] {
		history := operations(parse(path))
		started := time.Now()
		answer := porcupine.CheckOperationsTimeout(register, history, time.Duration(seconds*float64(time.Second)))
		took := time.Since(started).Seconds()
		verdict, decided := verdicts[answer]
		if !decided {
			verdict = "inconclusive"
		}
		results = append(results, result{filepath.Base(path), verdict, took})
	}
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	text, err := json.Marshal(map[string]any{"logs": results, "megabytes": float64(usage.Maxrss) / 1024})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

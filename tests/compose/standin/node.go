package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// The node that has the data; the others lead to it.
	first = "n1"
	// What a node's way to the data may take before it is not ready: the health check waits 3 s.
	readyTimeout = 2 * time.Second
)

type options struct {
	name, listen, http, store string
	peers                     []string
}

// parsed takes the flags of docker-compose.yml and no others: what is misspelt there must not pass here.
func parsed(arguments []string) (options, error) {
	flags := quiet("start")
	var chosen options
	insecure := flags.Bool("insecure", false, "the only way")
	locality := flags.String("locality", "", "node=NAME")
	join := flags.String("join", "", "addresses of peers; all but "+first+" lead to the first of them")
	flags.StringVar(&chosen.listen, "listen-addr", ":26257", "where SQL is taken")
	flags.StringVar(&chosen.http, "http-addr", ":8080", "where health is told")
	flags.StringVar(&chosen.store, "store", "", "folder of the data")
	for _, ignored := range []string{"advertise-addr", "locality-advertise-addr", "cache", "max-sql-memory"} {
		flags.String(ignored, "", "of no effect in a stand-in")
	}
	if err := flags.Parse(arguments); err != nil {
		return chosen, err
	}
	named := false
	chosen.name, named = strings.CutPrefix(*locality, "node=")
	chosen.peers = strings.Split(*join, ",")
	switch {
	case flags.NArg() > 0:
		return chosen, fmt.Errorf("%q is not a flag", flags.Arg(0))
	case !*insecure:
		return chosen, errors.New("--insecure is missing")
	case !named:
		return chosen, fmt.Errorf("--locality=%s is not node=NAME", *locality)
	case chosen.peers[0] == "" || chosen.store == "":
		return chosen, errors.New("--join and --store are needed")
	}
	return chosen, nil
}

// start runs a node until it is told to end, which is no error, or until its PostgreSQL ends by itself.
func start(arguments []string) error {
	chosen, err := parsed(arguments)
	if err != nil {
		return err
	}
	log.SetPrefix("stand-in node " + chosen.name + ": ")
	log.SetFlags(log.Ltime | log.Lmicroseconds | log.Lmsgprefix)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)

	var draining atomic.Bool
	way, stop, broken, err := data(chosen)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", chosen.http)
	if err != nil {
		stop()
		return err
	}
	go http.Serve(listener, console(chosen.name, way, &draining))
	log.Printf("PostgreSQL, not CockroachDB, answers by way of %s", way)
	select {
	case <-ended:
		draining.Store(true)
		log.Print("ends as it was told to")
		stop()
		return nil
	case err := <-broken:
		return err
	}
}

// data opens the node's SQL port and returns its way to PostgreSQL, how to close it, and where it is heard to break.
func data(chosen options) (way string, stop func(), broken <-chan error, err error) {
	if chosen.name != first {
		way = chosen.peers[0]
		stop, err = forward(chosen.listen, way)
		return way, stop, nil, err
	}
	_, port, err := net.SplitHostPort(chosen.listen)
	if err != nil {
		return "", nil, nil, err
	}
	stop, broken, err = postgres(chosen.store, port)
	return "127.0.0.1:" + port, stop, broken, err
}

// console answers as far as health checks ask: a node is alive if it answers, ready if the way to the data works.
func console(name, way string, draining *atomic.Bool) http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(answer, "Stand-in node %s: PostgreSQL in place of CockroachDB. There is no DB Console.\n", name)
	})
	pages.HandleFunc("/health", func(answer http.ResponseWriter, request *http.Request) {
		if request.URL.Query().Has("ready") {
			if problem := unready(way, draining); problem != "" {
				http.Error(answer, "stand-in node "+name+" is not ready: "+problem, http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintf(answer, "stand-in node %s is well\n", name)
	})
	return pages
}

func unready(way string, draining *atomic.Bool) string {
	if draining.Load() {
		return "it is ending"
	}
	done, err := initialised(way, readyTimeout)
	if err != nil {
		return err.Error()
	}
	if !done {
		return "the cluster was not initialised"
	}
	return ""
}

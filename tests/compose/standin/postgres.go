package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// PostgreSQL refuses to run as root; this is nobody.
const account = 65534

// As for the embedded cluster, whose reasons lab/clusters/_postmaster.py gives.
const settings = `
listen_addresses = '*'
unix_socket_directories = ''
cluster_name = 'stand-in'
max_connections = 200
default_transaction_isolation = 'serializable'
fsync = off
full_page_writes = off
synchronous_commit = on
dynamic_shared_memory_type = mmap
shared_buffers = 32MB
huge_pages = off
jit = off
deadlock_timeout = 50ms
enable_seqscan = off
autovacuum_max_workers = 1
autovacuum_naptime = 1min
max_wal_senders = 0
wal_level = minimal
max_logical_replication_workers = 0
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = 'stand-in PostgreSQL: '
log_checkpoints = off
lc_messages = 'C'
client_connection_check_interval = 250ms
io_method = sync
`

// postgres starts the server whose data is in store, and made there if need be. It takes connections soon after.
func postgres(store, port string) (stop func(), broken <-chan error, err error) {
	folder := filepath.Join(store, "postgresql")
	if err := prepare(folder); err != nil {
		return nil, nil, err
	}
	// A killed container leaves it; the number in it is of the old container's processes.
	os.Remove(filepath.Join(folder, "postmaster.pid"))
	server := program("postgres", "-D", folder, "-c", "port="+port)
	if err := server.Start(); err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() {
		server.Wait()
		ended <- fmt.Errorf("PostgreSQL has ended: %v", server.ProcessState)
	}()
	return func() {
		server.Process.Signal(syscall.SIGINT) // fast shutdown: sessions are cut, data is written
		log.Print(<-ended)
	}, ended, nil
}

// prepare makes the data beside its place and moves it there when whole: the container may be killed at any moment.
func prepare(folder string) error {
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	draft := folder + ".new"
	if err := os.RemoveAll(draft); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(draft), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(draft, 0o700); err != nil {
		return err
	}
	if err := os.Chown(draft, account, account); err != nil {
		return err
	}
	made := program("initdb", "-D", draft, "-U", "root", "--auth=trust", "--no-sync", "--no-instructions",
		"--locale=C", "--encoding=UTF8", "--no-data-checksums")
	made.Stdout, made.Stderr = nil, nil
	if said, err := made.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, said)
	}
	if err := written(filepath.Join(draft, "postgresql.conf"), settings); err != nil {
		return err
	}
	if err := written(filepath.Join(draft, "pg_hba.conf"), "host all all all trust\n"); err != nil {
		return err
	}
	return os.Rename(draft, folder)
}

func program(name string, arguments ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(postgresBin, name), arguments...)
	command.Env = []string{"PATH=/bin", "LC_ALL=C"}
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: account, Gid: account}}
	return command
}

func written(path, more string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(more); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const curlTimeout = 5 * time.Second

// curl understands "--fail --silent --show-error URL" and answers with the codes of the real one.
func curl(arguments []string) int {
	flags, url := arguments, ""
	if last := len(arguments) - 1; last >= 0 {
		flags, url = arguments[:last], arguments[last]
	}
	if strings.Join(flags, " ") != "--fail --silent --show-error" || url == "" {
		fmt.Fprintln(os.Stderr, "curl: this stand-in takes --fail --silent --show-error URL and nothing else")
		return 2
	}
	client := http.Client{Timeout: curlTimeout}
	answer, err := client.Get(url)
	if err != nil {
		fmt.Fprintln(os.Stderr, "curl: (7)", err)
		return 7
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 400 {
		fmt.Fprintln(os.Stderr, "curl: (22) The requested URL returned error:", answer.StatusCode)
		return 22
	}
	io.Copy(os.Stdout, answer.Body)
	return 0
}

// Shows what a Go program and a child of it are allowed.
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"syscall"

	"example.org/answers"
)

func main() {
	http.HandleFunc("/", func(response http.ResponseWriter, _ *http.Request) { fmt.Fprintln(response, "ok") })
	http.HandleFunc("/status", func(response http.ResponseWriter, _ *http.Request) {
		own, _ := os.ReadFile("/proc/self/status")
		child, err := exec.Command("cat", "/proc/self/status").CombinedOutput()
		answers.Write(response, map[string]any{"own": string(own), "child": string(child), "failure": err != nil})
	})
	http.HandleFunc("/unshare", func(response http.ResponseWriter, _ *http.Request) {
		command := exec.Command("true")
		command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
		answers.Write(response, map[string]any{"clone": text(command.Run()), "unshare": text(syscall.Unshare(syscall.CLONE_NEWNS))})
	})
	http.HandleFunc("/allocate", func(http.ResponseWriter, *http.Request) {
		var kept [][]byte
		for {
			piece := make([]byte, 8<<20)
			for index := 0; index < len(piece); index += 4096 {
				piece[index] = 1
			}
			kept = append(kept, piece)
		}
	})
	fmt.Println(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}

func text(err error) string {
	if err == nil {
		return "allowed"
	}
	return err.Error()
}

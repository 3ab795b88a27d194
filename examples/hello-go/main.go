// A small web service: it says who it is and ends in order.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/go-chi/chi/v5"
)

func main() {
	name, port := applicationName(), environment("PORT", "8080")
	router := chi.NewRouter()
	router.Get("/", func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("content-type", "application/json")
		json.NewEncoder(response).Encode(map[string]string{
			"hello":    name,
			"instance": environment("CF_INSTANCE_INDEX", "0"),
			"go":       runtime.Version(),
		})
	})
	router.Get("/health", func(response http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(response, "ok")
	})

	server := &http.Server{Addr: ":" + port, Handler: router, ReadHeaderTimeout: 10 * time.Second}
	stopping, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-stopping.Done()
		fmt.Println("finishing what is under way")
		server.Shutdown(context.Background())
	}()
	fmt.Printf("%s listens on port %s\n", name, port)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func applicationName() string {
	var application struct {
		Name string `json:"application_name"`
	}
	json.Unmarshal([]byte(environment("VCAP_APPLICATION", "{}")), &application)
	if application.Name == "" {
		return "hello-go"
	}
	return application.Name
}

func environment(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

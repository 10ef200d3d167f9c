// Command receiver is the HTTP server of make demo: it takes invoices, signed, each once.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Getenv("PROCRASTINATE_HTTP_SECRET")); err != nil {
		log.Fatal(err)
	}
}

// run writes its address to a file once it listens, and a line for each invoice to another.
func run(args []string, secret string) error {
	if len(args) != 2 {
		return errors.New("usage: receiver ADDRESS-FILE INVOICES")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	invoices, err := os.OpenFile(args[1], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	r := &receiver{secret: secret, invoices: invoices, done: map[string]int{}}
	if err := os.WriteFile(args[0], []byte(listener.Addr().String()), 0o600); err != nil {
		return err
	}
	return http.Serve(listener, r)
}

type receiver struct {
	secret   string
	invoices io.Writer
	mu       sync.Mutex
	visits   int
	done     map[string]int // by webhook-id, which would be a table with the invoices in real life
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, 1<<20))
	if err == nil {
		err = verify(r.secret, request.Header, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.visits++; r.visits == 1 {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the printer is warming up", http.StatusServiceUnavailable)
		return
	}
	var job struct {
		Args struct {
			Customer string `json:"customer"`
		} `json:"args"`
	}
	if err := json.Unmarshal(body, &job); err != nil || job.Args.Customer == "" {
		http.Error(w, "an invoice needs a customer", http.StatusUnprocessableEntity)
		return
	}
	id := request.Header.Get("Webhook-Id")
	if r.done[id] == 0 {
		if _, err := fmt.Fprintf(r.invoices, "invoice for %s\n", job.Args.Customer); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		r.done[id] = len(r.done) + 1
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]int{"invoice": r.done[id]}) // whoever is gone asks again
}

// verify says what is wrong with a request that should be signed with the secret, and of late.
func verify(secret string, header http.Header, body []byte) error {
	id, at := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return fmt.Errorf("timestamp %q is not of now", at)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return fmt.Errorf("decode secret: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, got := range strings.Fields(header.Get("Webhook-Signature")) {
		if hmac.Equal([]byte(got), []byte(want)) {
			return nil
		}
	}
	return errors.New("no signature fits")
}

package http

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/procrastinate-pg/procrastinate/worker"
)

// Secret signs requests. It does not print itself.
type Secret struct{ key []byte }

// minKey is what the Standard Webhooks scheme asks for, in bytes.
const minKey = 24

// ParseSecret reads a secret as the Standard Webhooks scheme writes it: whsec_ and at least 24 bytes in base64. The
// prefix may be missing.
func ParseSecret(text string) (Secret, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(text), "whsec_"))
	switch {
	case err != nil:
		return Secret{}, errors.New("secret is not base64; make one with: echo whsec_$(openssl rand -base64 32)")
	case len(key) < minKey:
		return Secret{}, fmt.Errorf("secret has %d bytes, want %d at least; make one with: echo whsec_$(openssl rand -base64 32)", len(key), minKey)
	}
	return Secret{key}, nil
}

func (Secret) String() string { return "whsec_…" }

// GoString keeps %#v from printing the key.
func (s Secret) GoString() string { return s.String() }

func signatures(secrets []Secret, id, at string, body []byte) string {
	var all []string
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret.key)
		fmt.Fprintf(mac, "%s.%s.%s", id, at, body) // a hash takes everything
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}

// messageID is the same for every attempt of a job, so that a receiver can tell that it has done the job already. It
// is another for a job of the same id in another database, and for one whose args were replaced while it waited.
func messageID(job *worker.Job) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s ", job.DeferredAt.UTC().Format(time.RFC3339Nano), job.Task)
	hash.Write(job.Args)
	return fmt.Sprintf("job_%d_%x", job.ID, hash.Sum(nil)[:6])
}

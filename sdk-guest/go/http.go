package airlock

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Request goes to a host that the grant `http` names. A secret's placeholder in its URL, a header or the body is filled in by the
// host, for hosts that the secret's grant names.
type Request struct {
	// Method; empty is GET.
	Method string
	// URL is absolute, http or https, at most 8 KiB.
	URL     string
	Headers map[string]string
	// Body is at most 8 MiB.
	Body []byte
	// JSON is sent as the body where it is not nil.
	JSON any
	// Timeout is from resolving the name to the last byte: 60 s where it is zero, 10 minutes at most.
	Timeout time.Duration
}

// Response is an answer, whole.
type Response struct {
	Status  int
	Headers []Header
	// Body is at most 8 MiB.
	Body []byte
}

// Header is a header's name and value, as they came.
type Header struct{ Name, Value string }

// Header is the first header of this name, whatever its case, or nothing.
func (r *Response) Header(name string) string {
	for _, header := range r.Headers {
		if strings.EqualFold(header.Name, name) {
			return header.Value
		}
	}
	return ""
}

// Err is nil for a status under 400; else an error, retried for 408, 425, 429 and 5xx.
func (r *Response) Err() error {
	if r.Status < 400 {
		return nil
	}
	err := fmt.Errorf("the server answered %d: %.200s", r.Status, r.Body)
	if r.Status >= 500 || r.Status == 408 || r.Status == 425 || r.Status == 429 {
		return err
	}
	return Permanent(err)
}

// Send is one exchange; a redirect is an answer like any other. The error is a CapabilityError: Denied where no grant covers the host
// or its address is not public, Unavailable where there is no answer in time.
func Send(request Request) (*Response, error) {
	if request.Method == "" {
		request.Method = "GET"
	}
	headers := make([]Header, 0, len(request.Headers)+1)
	hasType := false
	for _, name := range slices.Sorted(maps.Keys(request.Headers)) {
		hasType = hasType || strings.EqualFold(name, "content-type")
		headers = append(headers, Header{name, request.Headers[name]})
	}
	if request.JSON != nil {
		body, err := json.Marshal(request.JSON)
		if err != nil {
			return nil, Permanent(err)
		}
		request.Body = body
		if !hasType {
			headers = append(headers, Header{"content-type", "application/json"})
		}
	}
	return sysSend(request.Method, request.URL, headers, request.Body, request.Timeout)
}

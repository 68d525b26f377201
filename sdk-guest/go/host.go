package airlock

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// chunk is the most bytes of an object that one host call moves.
const chunk = 1 << 20

// Levels of lines in a task's log.
const (
	levelDebug = iota
	levelInfo
	levelWarn
	levelError
)

func log(level int, format string, values []any) {
	for line := range strings.Lines(fmt.Sprintf(format, values...)) {
		sysLog(level, strings.TrimSuffix(line, "\n"))
	}
}

// Debugf writes to the task's log.
func Debugf(format string, values ...any) { log(levelDebug, format, values) }

// Infof writes to the task's log.
func Infof(format string, values ...any) { log(levelInfo, format, values) }

// Warnf writes to the task's log.
func Warnf(format string, values ...any) { log(levelWarn, format, values) }

// Errorf writes to the task's log; to fail, return an error.
func Errorf(format string, values ...any) { log(levelError, format, values) }

// Progress says that a fraction, 0.0 to 1.0, of the work is done; a negative one says that nobody knows how much there is.
func Progress(fraction float64, message string) { sysProgress(fraction, message) }

// IsCancelled says whether the attempt was told to stop; it has its grace period left to save what it has.
func IsCancelled() bool { return sysIsCancelled() }

// Push upserts an XCom: durable and visible to others when it returns. At most 48 KiB of JSON.
func Push(key string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return sysPush(key, string(text))
}

// Pull reads what a task pushed in this run into a variable; of a mapped task, the list of all its values. False where there is none.
func Pull(taskID, key string, into any) (bool, error) { return pull(taskID, key, nil, into) }

// PullMapped reads what one instance of a mapped task pushed.
func PullMapped(taskID, key string, mapIndex int, into any) (bool, error) {
	return pull(taskID, key, &mapIndex, into)
}

func pull(taskID, key string, mapIndex *int, into any) (bool, error) {
	text, found, err := sysPull(taskID, key, mapIndex)
	if err != nil || !found {
		return false, err
	}
	return true, json.Unmarshal([]byte(text), into)
}

// Placeholder is a random text that stands for a secret in this attempt; the host fills it in, in requests to granted hosts only.
// Needs the grant `secrets`.
func Placeholder(name string) (string, error) { return sysPlaceholder(name) }

// Object is an object of the storage.
type Object struct {
	URI string
	// Size in bytes.
	Size uint64
}

// Open opens an object: file://, s3://, gs:// or az://. Needs the grant `storage` or `storage_read`.
func Open(uri string) (io.ReadCloser, error) {
	handle, err := sysOpen(uri)
	if err != nil {
		return nil, err
	}
	return &reader{handle}, nil
}

type reader struct{ handle uint32 }

func (r *reader) Read(into []byte) (int, error) {
	if len(into) == 0 {
		return 0, nil
	}
	got, err := sysRead(r.handle, min(len(into), chunk))
	if err == nil && len(got) == 0 {
		err = io.EOF
	}
	return copy(into, got), err
}

func (r *reader) Close() error {
	sysCloseReader(r.handle)
	return nil
}

// ReadObject reads a whole object.
func ReadObject(uri string) ([]byte, error) {
	object, err := Open(uri)
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return io.ReadAll(object)
}

// ObjectWriter writes an object, of which nothing is visible before Finish.
type ObjectWriter struct{ handle uint32 }

// Create begins an object that replaces what is at the URI when it is finished. Needs the grant `storage`.
func Create(uri string) (*ObjectWriter, error) {
	handle, err := sysCreate(uri)
	return &ObjectWriter{handle}, err
}

// Write adds any number of bytes.
func (w *ObjectWriter) Write(bytes []byte) (int, error) {
	for start := 0; start < len(bytes); start += chunk {
		if err := sysWrite(w.handle, bytes[start:min(start+chunk, len(bytes))]); err != nil {
			return start, err
		}
	}
	return len(bytes), nil
}

// Finish makes the whole object visible, durably, and yields its SHA-256 in hex.
func (w *ObjectWriter) Finish() (string, error) { return sysFinish(w.handle) }

// WriteObject writes a whole object and yields its SHA-256 in hex.
func WriteObject(uri string, bytes []byte) (string, error) {
	object, err := Create(uri)
	if err != nil {
		return "", err
	}
	if _, err := object.Write(bytes); err != nil {
		return "", err
	}
	return object.Finish()
}

// Stat says what an object is; nil where there is none.
func Stat(uri string) (*Object, error) { return sysHead(uri) }

// List lists the objects below a prefix, in order of URI.
func List(prefix string) ([]Object, error) {
	var all []Object
	for after := (*string)(nil); ; {
		page, err := sysList(prefix, after)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = &all[len(all)-1].URI
	}
}

// Delete removes an object.
func Delete(uri string) error { return sysDelete(uri) }

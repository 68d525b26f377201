//go:build !wasip1

package airlock

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FakeHost is a host in memory for native tests. There is one at a time: the one that was made last.
//
//	host := airlock.NewFakeHost()
//	ended := host.Run(hello, `{"name": "Ada"}`)
type FakeHost struct {
	// Task is what operators are told; change its members for a test.
	Task Task
	// Log holds lines with their level: "info try 1 of 1".
	Log []string
	// Progress holds what was reported.
	Progress []string
	// Objects by URI.
	Objects map[string][]byte
	// Runs of tracking by "experiment/name".
	Runs map[string]*FakeRun
	// Answers of servers by "METHOD URL".
	Answers map[string]Response
	// Requests that were sent.
	Requests []Request
	// Secrets that have a placeholder, by name.
	Secrets map[string]bool
	// IsCancelled tells operators to stop.
	IsCancelled bool
	// Denied names interfaces that answer Denied: "storage", "tracking", "http", "secrets".
	Denied map[string]bool

	xcoms   map[[2]string]string
	writing []fakeWriter
}

type fakeWriter struct {
	uri   string
	bytes []byte
}

// FakeRun is a tracking run.
type FakeRun struct {
	Params, Tags map[string]string
	Metrics      map[string]float64
	Status       RunStatus
}

// Ended is how an operator ended: End is success, skip, branch, short-circuit, not-yet, defer, transient, permanent or invalid-input;
// Text is the JSON of a success, a reason or a message; Field is the config's member that cannot be used.
type Ended struct {
	End, Text, Field             string
	TaskIDs                      []string
	IgnoreDownstreamTriggerRules bool
}

var fake *FakeHost

func init() { NewFakeHost() }

// NewFakeHost makes a host that holds nothing, and that operators reach from now on.
func NewFakeHost() *FakeHost {
	fake = &FakeHost{
		Task: Task{
			DagID: "test_dag", RunID: "test_run", RunType: "manual", TaskID: "test_task", MapIndex: -1,
			TryNumber: 1, MaxTries: 1, PokeNumber: 1, LogicalDate: "2026-01-05T02:00:00Z", Params: json.RawMessage("{}"),
		},
		Objects: map[string][]byte{}, Runs: map[string]*FakeRun{}, Answers: map[string]Response{}, Secrets: map[string]bool{},
		Denied: map[string]bool{}, xcoms: map[[2]string]string{},
	}
	return fake
}

// Run runs an operator on a config in JSON, as the host would.
func (host *FakeHost) Run(operator *Operator, config string) Ended {
	task := host.Task
	ended := conclude(operator.attempt([]byte(config), &task))
	return Ended{ended.end, ended.text, ended.field, ended.ids, ended.all}
}

// Pushed is what the operator pushed under a key, as JSON; empty where it is nothing.
func (host *FakeHost) Pushed(key string) string { return host.xcoms[[2]string{host.Task.TaskID, key}] }

// PutXCom is what another task pushed.
func (host *FakeHost) PutXCom(taskID, key string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	host.xcoms[[2]string{taskID, key}] = string(text)
}

func needs(grant string) error {
	if fake.Denied[grant] {
		return &CapabilityError{Denied, grant + " is not granted"}
	}
	return nil
}

func sysLog(level int, message string) {
	names := [...]string{"debug", "info", "warn", "error"}
	fake.Log = append(fake.Log, names[level]+" "+message)
}

func sysProgress(fraction float64, message string) {
	fake.Progress = append(fake.Progress, fmt.Sprintf("%g %s", fraction, message))
}

func sysIsCancelled() bool { return fake.IsCancelled }

func sysPush(key, value string) error {
	const most = 48 << 10
	if len(value) > most {
		return &CapabilityError{TooLarge, fmt.Sprint(most)}
	}
	fake.xcoms[[2]string{fake.Task.TaskID, key}] = value
	return nil
}

func sysPull(taskID, key string, _ *int) (string, bool, error) {
	text, found := fake.xcoms[[2]string{taskID, key}]
	return text, found, nil
}

func sysPlaceholder(name string) (string, error) {
	if err := needs("secrets"); err != nil {
		return "", err
	}
	if !fake.Secrets[name] {
		return "", &CapabilityError{Denied, fmt.Sprintf("no grant covers secret %q", name)}
	}
	return "airlock-secret-" + name, nil
}

func sysHead(uri string) (*Object, error) {
	bytes, found := fake.Objects[uri]
	if err := needs("storage"); err != nil || !found {
		return nil, err
	}
	return &Object{uri, uint64(len(bytes))}, nil
}

func sysList(prefix string, after *string) ([]Object, error) {
	const most = 1000
	if err := needs("storage"); err != nil {
		return nil, err
	}
	var found []Object
	for _, uri := range slices.Sorted(maps.Keys(fake.Objects)) {
		if strings.HasPrefix(uri, prefix) && (after == nil || uri > *after) && len(found) < most {
			found = append(found, Object{uri, uint64(len(fake.Objects[uri]))})
		}
	}
	return found, nil
}

func sysDelete(uri string) error {
	if err := needs("storage"); err != nil {
		return err
	}
	delete(fake.Objects, uri)
	return nil
}

func sysCreate(uri string) (uint32, error) {
	if err := needs("storage"); err != nil {
		return 0, err
	}
	fake.writing = append(fake.writing, fakeWriter{uri: uri})
	return uint32(len(fake.writing) - 1), nil
}

func sysWrite(writer uint32, bytes []byte) error {
	fake.writing[writer].bytes = append(fake.writing[writer].bytes, bytes...)
	return nil
}

func sysFinish(writer uint32) (string, error) {
	object := fake.writing[writer]
	fake.Objects[object.uri] = object.bytes
	digest := sha256.Sum256(object.bytes)
	return hex.EncodeToString(digest[:]), nil
}

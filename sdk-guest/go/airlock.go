// Package airlock is for operators in Go: a typed config in, a value or an error out, the host's interfaces as functions.
//
//	type Hello struct {
//		Name string `json:"name" desc:"A name."`
//	}
//
//	var hello = airlock.NewOperator("hello", "Greets.", func(config Hello, task *airlock.Task) (any, error) {
//		return "Hello, " + config.Name + "!", nil
//	})
//
//	func init() { airlock.Plugin("greeter", "0.1.0", hello) }
//	func main() {}
//
// A component imports what its code calls and nothing else. Natively, in `go test`, a FakeHost takes the host's place.
package airlock

import (
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
)

// Task is what an attempt is told.
type Task struct {
	DagID, RunID, RunType, TaskID string
	// MapIndex is -1 when the task is not mapped.
	MapIndex int
	// TryNumber and PokeNumber count from 1; a sensor is asked once a poke.
	TryNumber, MaxTries, PokeNumber int
	// Instants as RFC 3339 text in UTC; empty where there is none.
	LogicalDate, DataIntervalStart, DataIntervalEnd string
	// Params is the run's params, a JSON object.
	Params json.RawMessage
	// Inputs are XComs that the task names, as JSON.
	Inputs map[string]json.RawMessage
}

// Operator is a function with a name, made by NewOperator or NewSensor.
type Operator struct {
	name, summary string
	isSensor      bool
	schema        func() string
	run           func(config []byte, task *Task) (any, error)
}

// NewOperator makes an operator of a function. C is a struct: its exported fields are the members of the config, named by their `json`
// tags; `desc` describes a member, `default` (JSON, or text for a string) makes it optional, `enum` lists what a string may be.
// A config that does not fit is refused before the function is called, with the member's name.
//
// What the function returns becomes the XCom `return_value`, nil pushes nothing. It fails with its error: what Permanent and Invalid
// make is never retried, every other error is. Skip, Branch, ShortCircuit and Defer are no failures.
func NewOperator[C any](name, summary string, run func(config C, task *Task) (any, error)) *Operator {
	return &Operator{
		name:    name,
		summary: summary,
		schema:  func() string { return schemaOf[C]() },
		run: func(bytes []byte, task *Task) (any, error) {
			config, err := decode[C](bytes)
			if err != nil {
				return nil, err
			}
			return run(config, task)
		},
	}
}

// NewSensor makes a sensor: it may also end with NotYet, and is then asked again.
func NewSensor[C any](name, summary string, run func(config C, task *Task) (any, error)) *Operator {
	operator := NewOperator(name, summary, run)
	operator.isSensor = true
	return operator
}

var plugin struct {
	name, version string
	operators     []*Operator
}

// Plugin says, once in a program and from an init function, what the component is. `version` is a semantic version.
func Plugin(name, version string, operators ...*Operator) {
	plugin.name, plugin.version, plugin.operators = name, version, operators
}

func find(name string) *Operator {
	for _, operator := range plugin.operators {
		if operator.name == name {
			return operator
		}
	}
	return nil
}

// attempt runs an operator; a panic is an error like any other, with the place where it happened.
func (operator *Operator) attempt(config []byte, task *Task) (value any, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			value, err = nil, fmt.Errorf("panic: %v\n%s", panicked, place(string(debug.Stack())))
		}
	}()
	return operator.run(config, task)
}

// place is the part of a stack that is the author's.
func place(stack string) string {
	const shown = 12
	lines := strings.Split(stack, "\n")
	for at, line := range lines {
		if strings.HasPrefix(line, "panic(") {
			lines = lines[min(at+2, len(lines)):]
			break
		}
	}
	return strings.Join(lines[:min(shown, len(lines))], "\n")
}

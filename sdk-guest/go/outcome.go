package airlock

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// outcome is an end that is no failure, as an error so that a function can leave with it anywhere.
type outcome struct {
	end  string
	text string
	ids  []string
	all  bool
}

func (o *outcome) Error() string { return "airlock: " + o.end }

// Skip ends the task as skipped.
func Skip(format string, values ...any) error {
	return &outcome{end: "skip", text: fmt.Sprintf(format, values...)}
}

// Branch lets only these of the direct downstream tasks go on.
func Branch(taskIDs ...string) error { return &outcome{end: "branch", ids: taskIDs} }

// ShortCircuit says that a condition does not hold; with true, all transitive downstream is skipped, whatever its trigger rules.
func ShortCircuit(ignoreDownstreamTriggerRules bool) error {
	return &outcome{end: "short-circuit", all: ignoreDownstreamTriggerRules}
}

// NotYet says that a sensor's condition does not hold yet.
var NotYet error = &outcome{end: "not-yet"}

// Defer has the task called again at a time; meanwhile it holds no slot.
func Defer(until time.Time) error {
	return &outcome{end: "defer", text: until.UTC().Format(time.RFC3339Nano)}
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error as one that no retry would mend.
func Permanent(err error) error { return permanent{err} }

// InvalidInput is a member of the config that cannot be used. It is never retried.
type InvalidInput struct {
	// Field is its path, for example `checks[0].min_rows`.
	Field, Message string
}

func (e *InvalidInput) Error() string { return e.Field + ": " + e.Message }

// Invalid makes an InvalidInput.
func Invalid(field, format string, values ...any) error {
	return &InvalidInput{field, fmt.Sprintf(format, values...)}
}

// CapabilityError says why a host call did not do what was asked. Left alone, one of the kind Unavailable is retried, the rest is not.
type CapabilityError struct {
	Kind    Kind
	Message string
}

// Kind is why a host call did not do what was asked.
type Kind int

const (
	// Denied: no grant covers it; the message names the grant that would.
	Denied Kind = iota
	// NotFound: it does not exist.
	NotFound
	// InvalidRequest: it makes no sense; the message says why.
	InvalidRequest
	// TooLarge: it is over a limit of the host, whose value the message is.
	TooLarge
	// Conflict: it exists already and is never overwritten, or somebody else changed it first.
	Conflict
	// Unavailable: it may work later.
	Unavailable
)

var kinds = [...]string{"denied", "not found", "invalid", "too large", "conflict", "unavailable"}

func (e *CapabilityError) Error() string {
	if e.Kind == TooLarge {
		return "too large: the limit is " + e.Message
	}
	return kinds[e.Kind] + ": " + e.Message
}

// Is lets errors.Is compare kinds: errors.Is(err, &CapabilityError{Kind: NotFound}).
func (e *CapabilityError) Is(target error) bool {
	other, ok := target.(*CapabilityError)
	return ok && other.Kind == e.Kind && other.Message == ""
}

// ended is how an operator ended, as the contract has it.
type ended struct {
	// success, skip, branch, short-circuit, not-yet, defer, transient, permanent or invalid-input.
	end, text, field string
	ids              []string
	all              bool
}

func conclude(value any, err error) ended {
	var o *outcome
	var invalid *InvalidInput
	var final permanent
	var refused *CapabilityError
	switch {
	case err == nil:
		return success(value)
	case errors.As(err, &o):
		return ended{end: o.end, text: o.text, ids: o.ids, all: o.all}
	case errors.As(err, &invalid):
		return ended{end: "invalid-input", field: invalid.Field, text: invalid.Message}
	case errors.As(err, &final):
		return ended{end: "permanent", text: err.Error()}
	case errors.As(err, &refused) && refused.Kind != Unavailable:
		return ended{end: "permanent", text: err.Error()}
	}
	return ended{end: "transient", text: err.Error()}
}

func success(value any) ended {
	if value == nil {
		return ended{end: "success"}
	}
	text, err := json.Marshal(value)
	if err != nil {
		return ended{end: "permanent", text: "the returned value is no JSON: " + err.Error()}
	}
	return ended{end: "success", text: string(text)}
}

package airlock

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

type none struct{}

// one is an operator that does one thing.
func one(run func() (any, error)) *Operator {
	return NewOperator("one", "One.", func(none, *Task) (any, error) { return run() })
}

func check(t *testing.T, got, wanted any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("got %v, wanted %v", got, wanted)
	}
}

func TestEveryOutcomeComesOutAsItWentIn(t *testing.T) {
	host := NewFakeHost()
	until := time.Date(2026, 1, 5, 3, 0, 0, 0, time.FixedZone("", 3600))
	for wanted, err := range map[string]error{
		"{skip no rows  [] false}":                        Skip("no %s", "rows"),
		"{branch   [a b] false}":                          Branch("a", "b"),
		"{short-circuit   [] true}":                       ShortCircuit(true),
		"{not-yet   [] false}":                            NotYet,
		"{defer 2026-01-05T02:00:00Z  [] false}":          Defer(until),
		"{transient later  [] false}":                     errors.New("later"),
		"{permanent never  [] false}":                     fmt.Errorf("%w", Permanent(errors.New("never"))),
		"{invalid-input too small rows [] false}":         Invalid("rows", "too small"),
		"{permanent denied: no  [] false}":                &CapabilityError{Denied, "no"},
		"{transient unavailable: later  [] false}":        &CapabilityError{Unavailable, "later"},
		"{permanent too large: the limit is 5  [] false}": &CapabilityError{TooLarge, "5"},
	} {
		check(t, host.Run(one(func() (any, error) { return 1, err }), "{}"), wanted)
	}
	check(t, host.Run(one(func() (any, error) { return map[string]int{"n": 1}, nil }), "{}").Text, `{"n":1}`)
	check(t, host.Run(one(func() (any, error) { return nil, nil }), "{}").Text, "")
	panics := host.Run(one(func() (any, error) { panic("oh") }), "{}")
	if panics.End != "transient" || !strings.Contains(panics.Text, "panic: oh") || !strings.Contains(panics.Text, "airlock_test.go") {
		t.Errorf("%v", panics)
	}
}

type settings struct {
	Name  string             `json:"name" desc:"A name."`
	Mode  string             `json:"mode" default:"fast" enum:"fast,safe"`
	Times int                `json:"times" default:"2"`
	Share *float64           `json:"share"`
	Tags  []string           `json:"tags" default:"[]"`
	Deep  map[string]float64 `json:"deep" default:"{}"`
}

func TestAConfigIsCheckedBeforeTheFunctionIsCalled(t *testing.T) {
	host := NewFakeHost()
	echo := NewOperator("echo", "Echoes.", func(config settings, _ *Task) (any, error) { return config, nil })
	check(t, host.Run(echo, `{"name": "a"}`).Text, `{"name":"a","mode":"fast","times":2,"share":null,"tags":[],"deep":{}}`)
	for config, wanted := range map[string]string{
		`{}`:                            "{invalid-input it is missing name [] false}",
		`{"name": 7}`:                   "{invalid-input expected string, not a number name [] false}",
		`{"name": "a", "nme": 1}`:       "{invalid-input there is no such member nme [] false}",
		`{"name": "a", "mode": "odd"}`:  "{invalid-input it is none of fast,safe mode [] false}",
		`{"name": "a", "times": "two"}`: "{invalid-input expected int, not a string times [] false}",
	} {
		check(t, host.Run(echo, config), wanted)
	}
	var described map[string]any
	if err := json.Unmarshal([]byte(echo.schema()), &described); err != nil {
		t.Fatal(err)
	}
	check(t, described["required"], "[name]")
	check(t, described["additionalProperties"], false)
	check(t, described["properties"].(map[string]any)["mode"], "map[default:fast enum:[fast safe] type:string]")
}

func TestTheHostIsReachedAndAnswersAsTheRealOne(t *testing.T) {
	host := NewFakeHost()
	host.PutXCom("upstream", "return_value", 4)
	host.Objects["file://./in"] = []byte("grün")
	host.Answers["POST https://a.example/in"] = Response{Status: 503, Body: []byte("later")}
	ended := host.Run(one(func() (any, error) {
		var number int
		if found, err := Pull("upstream", "return_value", &number); err != nil || !found {
			return nil, fmt.Errorf("%v %v", found, err)
		}
		Infof("got %d\nof many", number)
		Progress(0.5, "half")
		text, err := ReadObject("file://./in")
		if err != nil {
			return nil, err
		}
		if _, err := WriteObject("file://./out", append(text, '!')); err != nil {
			return nil, err
		}
		run, err := StartRun("nightly", "one")
		if err != nil {
			return nil, err
		}
		if err := errors.Join(run.Params(map[string]any{"rate": 0.5}), run.Metrics(map[string]float64{"loss": 1}, 2), run.End(RunFinished)); err != nil {
			return nil, err
		}
		answer, err := Send(Request{Method: "POST", URL: "https://a.example/in", JSON: map[string]int{"n": 1}})
		if err != nil {
			return nil, err
		}
		return nil, errors.Join(Push("rows", 3), answer.Err())
	}), "{}")
	check(t, ended, "{transient the server answered 503: later  [] false}")
	check(t, host.Log, "[info got 4 info of many]")
	check(t, host.Progress, "[0.5 half]")
	check(t, string(host.Objects["file://./out"]), "grün!")
	check(t, host.Pushed("rows"), "3")
	check(t, *host.Runs["nightly/one"], "{map[rate:0.5] map[] map[loss:1] 1}")
	check(t, string(host.Requests[0].Body), `{"n":1}`)
	check(t, host.Requests[0].Headers, "map[content-type:application/json]")
	host.Denied["storage"] = true
	_, err := List("file://./")
	if !errors.Is(err, &CapabilityError{Kind: Denied}) {
		t.Error(err)
	}
}

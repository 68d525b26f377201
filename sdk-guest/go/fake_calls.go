//go:build !wasip1

package airlock

import (
	"fmt"
	"time"
)

// reading holds what open readers have not read yet.
var reading [][]byte

func sysOpen(uri string) (uint32, error) {
	if err := needs("storage"); err != nil {
		return 0, err
	}
	bytes, found := fake.Objects[uri]
	if !found {
		return 0, &CapabilityError{NotFound, "there is no " + uri}
	}
	reading = append(reading, bytes)
	return uint32(len(reading) - 1), nil
}

func sysRead(reader uint32, most int) ([]byte, error) {
	left := reading[reader]
	count := min(most, len(left))
	reading[reader] = left[count:]
	return left[:count], nil
}

func sysCloseReader(reader uint32) { reading[reader] = nil }

func sysSend(method, url string, headers []Header, body []byte, timeout time.Duration) (*Response, error) {
	if err := needs("http"); err != nil {
		return nil, err
	}
	sent := Request{Method: method, URL: url, Headers: map[string]string{}, Body: body, Timeout: timeout}
	for _, header := range headers {
		sent.Headers[header.Name] = header.Value
	}
	fake.Requests = append(fake.Requests, sent)
	answer, found := fake.Answers[method+" "+url]
	if !found {
		return nil, &CapabilityError{Unavailable, fmt.Sprintf("no answer: the fake host has none for %s %s", method, url)}
	}
	return &answer, nil
}

func sysStartRun(experiment, name string) (string, error) {
	if err := needs("tracking"); err != nil {
		return "", err
	}
	id := experiment + "/" + name
	if fake.Runs[id] == nil {
		fake.Runs[id] = &FakeRun{Params: map[string]string{}, Tags: map[string]string{}, Metrics: map[string]float64{}}
	}
	return id, nil
}

// onRun changes a tracking run.
func onRun(runID string, change func(*FakeRun) error) error {
	if err := needs("tracking"); err != nil {
		return err
	}
	run := fake.Runs[runID]
	if run == nil {
		return &CapabilityError{NotFound, runID}
	}
	return change(run)
}

func sysLogParams(runID string, params [][2]string) error {
	return onRun(runID, func(run *FakeRun) error {
		for _, param := range params {
			known, has := run.Params[param[0]]
			if has && known != param[1] {
				return &CapabilityError{Conflict, "param " + param[0] + " has another value"}
			}
			run.Params[param[0]] = param[1]
		}
		return nil
	})
}

func sysLogMetrics(runID string, metrics []metric) error {
	return onRun(runID, func(run *FakeRun) error {
		for _, one := range metrics {
			run.Metrics[one.key] = one.value
		}
		return nil
	})
}

func sysSetTags(runID string, tags [][2]string) error {
	return onRun(runID, func(run *FakeRun) error {
		for _, tag := range tags {
			run.Tags[tag[0]] = tag[1]
		}
		return nil
	})
}

func sysLogArtifact(runID, path, sha256 string) error {
	return sysSetTags(runID, [][2]string{{"artifact:" + path, sha256}})
}

func sysEndRun(runID string, status RunStatus) error {
	return onRun(runID, func(run *FakeRun) error {
		run.Status = status
		return nil
	})
}

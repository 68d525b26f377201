package airlock

import (
	"fmt"
	"maps"
	"slices"
)

// Run is a tracking run. Needs the grant `tracking`.
type Run struct{ ID string }

// RunStatus is how a tracking run ended.
type RunStatus int

// The states of a tracking run.
const (
	RunRunning RunStatus = iota
	RunFinished
	RunFailed
	RunKilled
)

type metric struct {
	key   string
	value float64
	step  int64
}

// StartRun finds or makes the run called `name` in an experiment, so that a retry goes on with the same one.
func StartRun(experiment, name string) (*Run, error) {
	id, err := sysStartRun(experiment, name)
	return &Run{id}, err
}

func pairs(values map[string]any) [][2]string {
	all := make([][2]string, 0, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		all = append(all, [2]string{key, fmt.Sprint(values[key])})
	}
	return all
}

// Params are set once: another value for the same key is a conflict.
func (r *Run) Params(params map[string]any) error { return sysLogParams(r.ID, pairs(params)) }

// Metrics adds one point of each metric.
func (r *Run) Metrics(metrics map[string]float64, step int64) error {
	all := make([]metric, 0, len(metrics))
	for _, key := range slices.Sorted(maps.Keys(metrics)) {
		all = append(all, metric{key, metrics[key], step})
	}
	return sysLogMetrics(r.ID, all)
}

// Tags upserts tags.
func (r *Run) Tags(tags map[string]any) error { return sysSetTags(r.ID, pairs(tags)) }

// Artifact names an artifact, given by its SHA-256.
func (r *Run) Artifact(path, sha256 string) error { return sysLogArtifact(r.ID, path, sha256) }

// End sets the end state.
func (r *Run) End(status RunStatus) error { return sysEndRun(r.ID, status) }

package airlock

import (
	"encoding/json"
	"unsafe"
)

// The component's exports. An instance lives for one attempt, so what is returned is never freed.

//go:wasmexport airlock:operator/guest@0.1.0#describe
func describe() unsafe.Pointer {
	info := newArea(32)
	info.setText(0, plugin.name)
	info.setText(8, plugin.version)
	place, length := list(plugin.operators, 28, func(at area, operator *Operator) {
		at.setText(0, operator.name)
		at.setText(8, operator.summary)
		if operator.isSensor {
			at.set(16, 1)
		}
		at.setText(20, operator.schema())
	})
	info.setList(16, place, length)
	return info.at(0)
}

//go:wasmexport airlock:operator/guest@0.1.0#run
func run(context unsafe.Pointer) unsafe.Pointer {
	told := area(address(context))
	name, config := told.text(0), told.bytes(8)
	task := taskOf(told)
	received.Unpin()
	operator := find(name)
	if operator == nil {
		return lay(ended{end: "permanent", text: "no operator `" + name + "` in this plugin"})
	}
	return lay(conclude(operator.attempt(config, task)))
}

func taskOf(told area) *Task {
	task := &Task{
		DagID:             told.text(16),
		RunID:             told.text(24),
		RunType:           told.text(32),
		TaskID:            told.text(40),
		MapIndex:          int(int32(told.uint32(48))),
		TryNumber:         int(told.uint32(52)),
		MaxTries:          int(told.uint32(56)),
		PokeNumber:        int(told.uint32(60)),
		LogicalDate:       told.option(64),
		DataIntervalStart: told.option(76),
		DataIntervalEnd:   told.option(88),
		Params:            told.bytes(100),
		Inputs:            map[string]json.RawMessage{},
	}
	for _, input := range told.elements(108, 16) {
		task.Inputs[input.text(0)] = input.bytes(8)
	}
	return task
}

// The tags of the variants `outcome` and `task-error`.
var (
	outcomes = map[string]uint32{"success": 0, "skip": 1, "branch": 2, "short-circuit": 3, "not-yet": 4, "defer": 5}
	failures = map[string]uint32{"transient": 0, "permanent": 1, "invalid-input": 2}
)

// lay lays out `result<outcome, task-error>`.
func lay(ended ended) unsafe.Pointer {
	result := newArea(24)
	if tag, isFailure := failures[ended.end]; isFailure {
		result.set(0, 1)
		result.set(4, tag)
		if ended.end == "invalid-input" {
			result.setText(8, ended.field)
			result.setText(16, ended.text)
		} else {
			result.setText(8, ended.text)
		}
		return result.at(0)
	}
	result.set(4, outcomes[ended.end])
	switch ended.end {
	case "success":
		if ended.text != "" {
			result.set(8, 1)
			result.setText(12, ended.text)
		}
	case "branch":
		place, length := list(ended.ids, 8, func(at area, id string) { at.setText(0, id) })
		result.setList(8, place, length)
	case "short-circuit":
		if ended.all {
			result.set(8, 1)
		}
	default:
		result.setText(8, ended.text)
	}
	return result.at(0)
}

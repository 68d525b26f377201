package airlock

import (
	"strconv"
	"time"
	"unsafe"
)

// The host's functions as the component model lowers them: a text is a place and a length, and what does not fit into one value comes
// back in an area. Each is imported only where code reaches it.

//go:wasmimport airlock:operator/log@0.1.0 log
func importLog(level uint32, message string)

//go:wasmimport airlock:operator/progress@0.1.0 report
func importReport(isSome uint32, fraction float64, message string)

//go:wasmimport airlock:operator/progress@0.1.0 is-cancelled
func importIsCancelled() uint32

//go:wasmimport airlock:operator/xcom@0.1.0 push
func importPush(key, value string, result uint32)

//go:wasmimport airlock:operator/xcom@0.1.0 pull
func importPull(taskID, key string, isSome, mapIndex, result uint32)

//go:wasmimport airlock:operator/secrets@0.1.0 placeholder
func importPlaceholder(name string, result uint32)

//go:wasmimport airlock:operator/storage@0.1.0 open
func importOpen(uri string, result uint32)

//go:wasmimport airlock:operator/storage@0.1.0 [method]reader.read
func importRead(reader, most, result uint32)

//go:wasmimport airlock:operator/storage@0.1.0 [resource-drop]reader
func importDropReader(reader uint32)

//go:wasmimport airlock:operator/storage@0.1.0 create
func importCreate(uri string, result uint32)

//go:wasmimport airlock:operator/storage@0.1.0 [method]writer.write
func importWrite(writer uint32, bytes string, result uint32)

//go:wasmimport airlock:operator/storage@0.1.0 [method]writer.finish
func importFinish(writer, result uint32)

//go:wasmimport airlock:operator/storage@0.1.0 head
func importHead(uri string, result uint32)

//go:wasmimport airlock:operator/storage@0.1.0 list
func importList(prefix string, isSome uint32, after string, result uint32)

//go:wasmimport airlock:operator/storage@0.1.0 delete
func importDelete(uri string, result uint32)

//go:wasmimport airlock:operator/http@0.1.0 send
func importSend(method, url string, headers, headerCount uint32, body string, isSome, milliseconds, result uint32)

//go:wasmimport airlock:operator/tracking@0.1.0 start-run
func importStartRun(experiment, name string, result uint32)

//go:wasmimport airlock:operator/tracking@0.1.0 log-params
func importLogParams(runID string, params, count, result uint32)

//go:wasmimport airlock:operator/tracking@0.1.0 log-metrics
func importLogMetrics(runID string, metrics, count, result uint32)

//go:wasmimport airlock:operator/tracking@0.1.0 set-tags
func importSetTags(runID string, tags, count, result uint32)

//go:wasmimport airlock:operator/tracking@0.1.0 log-artifact
func importLogArtifact(runID, path, artifact string, result uint32)

//go:wasmimport airlock:operator/tracking@0.1.0 end-run
func importEndRun(runID string, status, result uint32)

// answer is `result<T, capability-error>`: a tag, then T or the error at 8, because the error's largest case holds 64 bits.
type answer struct{ area }

// call gives the host an area of a size to answer in; what it wrote beside is let go when `done` was read.
func call(size uint32, ask func(result uint32), done func(answer)) error {
	place := newArea(max(size, 24))
	ask(uint32(place))
	defer func() {
		sent.Unpin()
		received.Unpin()
	}()
	got := answer{place}
	if got.byte(0) != 0 {
		return got.refusal()
	}
	if done != nil {
		done(got)
	}
	return nil
}

func (got answer) refusal() error {
	kind := Kind(got.byte(8))
	if kind == TooLarge {
		return &CapabilityError{kind, strconv.FormatUint(got.uint64(16), 10)}
	}
	return &CapabilityError{kind, got.text(16)}
}

func textOf(ask func(result uint32)) (text string, err error) {
	err = call(24, ask, func(got answer) { text = got.text(8) })
	return text, err
}

func borrowed(bytes []byte) string { return unsafe.String(unsafe.SliceData(bytes), len(bytes)) }

func sysLog(level int, message string) { importLog(uint32(level), valid(message)) }

func sysProgress(fraction float64, message string) {
	if fraction < 0 {
		importReport(0, 0, valid(message))
	} else {
		importReport(1, fraction, valid(message))
	}
}

func sysIsCancelled() bool { return importIsCancelled() != 0 }

func sysPush(key, value string) error {
	return call(24, func(result uint32) { importPush(valid(key), valid(value), result) }, nil)
}

func sysPull(taskID, key string, mapIndex *int) (text string, found bool, err error) {
	isSome, index := uint32(0), uint32(0)
	if mapIndex != nil {
		isSome, index = 1, uint32(int32(*mapIndex))
	}
	ask := func(result uint32) { importPull(valid(taskID), valid(key), isSome, index, result) }
	err = call(24, ask, func(got answer) {
		if found = got.byte(8) != 0; found {
			text = got.text(12)
		}
	})
	return text, found, err
}

func sysPlaceholder(name string) (string, error) {
	return textOf(func(result uint32) { importPlaceholder(valid(name), result) })
}

func sysOpen(uri string) (handle uint32, err error) {
	err = call(24, func(result uint32) { importOpen(valid(uri), result) }, func(got answer) { handle = got.uint32(8) })
	return handle, err
}

func sysRead(reader uint32, most int) (bytes []byte, err error) {
	ask := func(result uint32) { importRead(reader, uint32(most), result) }
	err = call(24, ask, func(got answer) { bytes = got.bytes(8) })
	return bytes, err
}

func sysCloseReader(reader uint32) { importDropReader(reader) }

func sysCreate(uri string) (handle uint32, err error) {
	err = call(24, func(result uint32) { importCreate(valid(uri), result) }, func(got answer) { handle = got.uint32(8) })
	return handle, err
}

func sysWrite(writer uint32, bytes []byte) error {
	return call(24, func(result uint32) { importWrite(writer, borrowed(bytes), result) }, nil)
}

func sysFinish(writer uint32) (string, error) {
	return textOf(func(result uint32) { importFinish(writer, result) })
}

func sysHead(uri string) (object *Object, err error) {
	err = call(32, func(result uint32) { importHead(valid(uri), result) }, func(got answer) {
		if got.byte(8) != 0 {
			object = &Object{got.text(16), got.uint64(24)}
		}
	})
	return object, err
}

func sysList(prefix string, after *string) (objects []Object, err error) {
	isSome, last := uint32(0), ""
	if after != nil {
		isSome, last = 1, *after
	}
	ask := func(result uint32) { importList(valid(prefix), isSome, valid(last), result) }
	err = call(24, ask, func(got answer) {
		for _, object := range got.elements(8, 16) {
			objects = append(objects, Object{object.text(0), object.uint64(8)})
		}
	})
	return objects, err
}

func sysDelete(uri string) error {
	return call(24, func(result uint32) { importDelete(valid(uri), result) }, nil)
}

func sysSend(method, url string, headers []Header, body []byte, timeout time.Duration) (response *Response, err error) {
	isSome := uint32(0)
	if timeout > 0 {
		isSome = 1
	}
	ask := func(result uint32) {
		place, count := list(headers, 16, func(at area, header Header) {
			at.setText(0, header.Name)
			at.setBytes(8, header.Value)
		})
		importSend(valid(method), valid(url), place, count, borrowed(body), isSome, uint32(timeout.Milliseconds()), result)
	}
	err = call(32, ask, func(got answer) {
		response = &Response{Status: int(got.uint16(8)), Body: got.bytes(20)}
		for _, header := range got.elements(12, 16) {
			response.Headers = append(response.Headers, Header{header.text(0), header.text(8)})
		}
	})
	return response, err
}

func sysStartRun(experiment, name string) (string, error) {
	return textOf(func(result uint32) { importStartRun(valid(experiment), valid(name), result) })
}

func layPair(at area, pair [2]string) {
	at.setText(0, pair[0])
	at.setText(8, pair[1])
}

func sysLogParams(runID string, params [][2]string) error {
	return call(24, func(result uint32) {
		place, count := list(params, 16, layPair)
		importLogParams(valid(runID), place, count, result)
	}, nil)
}

func sysLogMetrics(runID string, metrics []metric) error {
	return call(24, func(result uint32) {
		place, count := list(metrics, 24, func(at area, one metric) {
			at.setText(0, one.key)
			at.setFloat(8, one.value)
			at.set64(16, uint64(one.step))
		})
		importLogMetrics(valid(runID), place, count, result)
	}, nil)
}

func sysSetTags(runID string, tags [][2]string) error {
	return call(24, func(result uint32) {
		place, count := list(tags, 16, layPair)
		importSetTags(valid(runID), place, count, result)
	}, nil)
}

func sysLogArtifact(runID, path, sha256 string) error {
	return call(24, func(result uint32) { importLogArtifact(valid(runID), valid(path), valid(sha256), result) }, nil)
}

func sysEndRun(runID string, status RunStatus) error {
	return call(24, func(result uint32) { importEndRun(valid(runID), uint32(status), result) }, nil)
}

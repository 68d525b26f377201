package airlock

// Memory as the component model lays it out: pointers and lengths are 32 bits wide, though Go's are 64 on this machine. What the host
// is given, and what it gives, is pinned: the garbage collector neither moves nor frees it meanwhile.

import (
	"math"
	"runtime"
	"strings"
	"unsafe"
)

// sent is what the host reads during a call; received is what it wrote, until that is copied.
var sent, received runtime.Pinner

//go:linkname sbrk runtime.sbrk
func sbrk(n uintptr) unsafe.Pointer

var isRunning = false

func init() { isRunning = true }

// The adapter of WASI asks for its memory before Go's runtime is there: it comes from the system then, and stays.
//
//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if !isRunning {
		at := uintptr(sbrk(uintptr(size + align)))
		return unsafe.Pointer((at + uintptr(align) - 1) &^ (uintptr(align) - 1))
	}
	made := allocate(size, &received)
	if old != nil {
		copy(unsafe.Slice((*byte)(made), size), unsafe.Slice((*byte)(old), min(oldSize, size)))
	}
	return made
}

// allocate makes memory that every type of the contract may lie in.
func allocate(size uint32, pinner *runtime.Pinner) unsafe.Pointer {
	words := make([]uint64, size/8+1)
	pinner.Pin(&words[0])
	return unsafe.Pointer(&words[0])
}

func address(place unsafe.Pointer) uint32 { return uint32(uintptr(place)) }

// area is where a record is read or written, by offsets.
type area uint32

func newArea(size uint32) area { return area(address(allocate(size, &sent))) }

func (a area) at(offset uint32) unsafe.Pointer { return unsafe.Pointer(uintptr(uint32(a) + offset)) }

func (a area) byte(offset uint32) byte           { return *(*byte)(a.at(offset)) }
func (a area) uint16(offset uint32) uint16       { return *(*uint16)(a.at(offset)) }
func (a area) uint32(offset uint32) uint32       { return *(*uint32)(a.at(offset)) }
func (a area) uint64(offset uint32) uint64       { return *(*uint64)(a.at(offset)) }
func (a area) set(offset, value uint32)          { *(*uint32)(a.at(offset)) = value }
func (a area) set64(offset uint32, v uint64)     { *(*uint64)(a.at(offset)) = v }
func (a area) setFloat(offset uint32, v float64) { a.set64(offset, math.Float64bits(v)) }

// bytes is a copy of the list at an offset.
func (a area) bytes(offset uint32) []byte {
	length := a.uint32(offset + 4)
	copied := make([]byte, length)
	if length > 0 {
		copy(copied, unsafe.Slice((*byte)(area(a.uint32(offset)).at(0)), length))
	}
	return copied
}

func (a area) text(offset uint32) string { return string(a.bytes(offset)) }

// option is a text that may be absent.
func (a area) option(offset uint32) string {
	if a.byte(offset) == 0 {
		return ""
	}
	return a.text(offset + 4)
}

// elements are the areas of a list's elements.
func (a area) elements(offset, size uint32) []area {
	all := make([]area, a.uint32(offset+4))
	for i := range all {
		all[i] = area(a.uint32(offset) + uint32(i)*size)
	}
	return all
}

// valid is a text as the contract wants texts: the host ends a component that hands over what is no UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

func (a area) setText(offset uint32, text string) { a.setBytes(offset, valid(text)) }

func (a area) setBytes(offset uint32, text string) {
	if len(text) == 0 {
		a.set(offset, 0)
		a.set(offset+4, 0)
		return
	}
	bytes := []byte(text)
	sent.Pin(&bytes[0])
	a.set(offset, address(unsafe.Pointer(&bytes[0])))
	a.set(offset+4, uint32(len(bytes)))
}

// list lays out elements of one size; it is given to the host by its place and their number.
func list[T any](items []T, size uint32, lay func(area, T)) (uint32, uint32) {
	made := newArea(size * uint32(len(items)))
	for i, item := range items {
		lay(made+area(uint32(i)*size), item)
	}
	return uint32(made), uint32(len(items))
}

func (a area) setList(offset, place, length uint32) {
	a.set(offset, place)
	a.set(offset+4, length)
}

package main

import (
	"testing"

	"airlock"
)

func TestHelloGreets(t *testing.T) {
	host := airlock.NewFakeHost()
	ended := host.Run(hello, `{"name": "Ada"}`)
	if ended.End != "success" || ended.Text != `"Hello, Ada!"` {
		t.Error(ended)
	}
	if len(host.Log) != 1 || host.Log[0] != "info try 1 of 1" {
		t.Error(host.Log)
	}
}

func TestNobodyIsNotGreeted(t *testing.T) {
	host := airlock.NewFakeHost()
	for _, config := range []string{`{"name": ""}`, `{"name": 7}`, `{"nme": "Ada"}`} {
		if ended := host.Run(hello, config); ended.End != "invalid-input" {
			t.Error(config, ended)
		}
	}
}

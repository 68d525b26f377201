// The plugin {{name}}.
package main

import "airlock"

// Hello says whom to greet.
type Hello struct {
	Name string `json:"name" desc:"A name."`
}

var hello = airlock.NewOperator("hello", "Greets.", func(config Hello, task *airlock.Task) (any, error) {
	if config.Name == "" {
		return nil, airlock.Invalid("name", "nobody is there to greet")
	}
	airlock.Infof("try %d of %d", task.TryNumber, task.MaxTries)
	return "Hello, " + config.Name + "!", nil
})

func init() { airlock.Plugin("{{name}}", "0.1.0", hello) }

func main() {}

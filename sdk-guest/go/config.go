package airlock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// member is one field of a config.
type member struct {
	name     string
	field    reflect.StructField
	fallback string
	isNeeded bool
}

func membersOf(kind reflect.Type) []member {
	var members []member
	for _, field := range reflect.VisibleFields(kind) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" || field.Anonymous {
			continue
		}
		if name == "" {
			name = field.Name
		}
		fallback, has := field.Tag.Lookup("default")
		if has && field.Type.Kind() == reflect.String {
			quoted, _ := json.Marshal(fallback)
			fallback = string(quoted)
		}
		isNeeded := !has && field.Type.Kind() != reflect.Pointer
		members = append(members, member{name, field, fallback, isNeeded})
	}
	return members
}

func schemaOf[C any]() string {
	text, err := json.Marshal(schema(reflect.TypeFor[C](), ""))
	if err != nil {
		return "{}"
	}
	return string(text)
}

// schema is the JSON Schema (2020-12) of a type.
func schema(kind reflect.Type, tag reflect.StructTag) map[string]any {
	made := map[string]any{}
	switch kind.Kind() {
	case reflect.Pointer:
		return schema(kind.Elem(), tag)
	case reflect.String:
		made["type"] = "string"
		if values := tag.Get("enum"); values != "" {
			made["enum"] = strings.Split(values, ",")
		}
	case reflect.Bool:
		made["type"] = "boolean"
	case reflect.Float32, reflect.Float64:
		made["type"] = "number"
	case reflect.Slice, reflect.Array:
		if kind != reflect.TypeFor[json.RawMessage]() {
			made["type"], made["items"] = "array", schema(kind.Elem(), "")
		}
	case reflect.Map:
		made["type"], made["additionalProperties"] = "object", schema(kind.Elem(), "")
	case reflect.Struct:
		object(made, kind)
	case reflect.Interface:
	default:
		made["type"] = "integer"
	}
	if text := tag.Get("desc"); text != "" {
		made["description"] = text
	}
	return made
}

func object(made map[string]any, kind reflect.Type) {
	properties, needed := map[string]any{}, []string{}
	for _, one := range membersOf(kind) {
		property := schema(one.field.Type, one.field.Tag)
		if one.fallback != "" {
			property["default"] = json.RawMessage(one.fallback)
		}
		properties[one.name] = property
		if one.isNeeded {
			needed = append(needed, one.name)
		}
	}
	made["type"], made["properties"], made["additionalProperties"] = "object", properties, false
	if len(needed) > 0 {
		made["required"] = needed
	}
}

// decode reads a config; the error names the member that does not fit.
func decode[C any](text []byte) (C, error) {
	var config C
	kind := reflect.TypeFor[C]()
	if kind.Kind() != reflect.Struct {
		return config, Permanent(fmt.Errorf("a config is a struct, not %s", kind))
	}
	given := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &given); err != nil {
		return config, Invalid("config", "it is no JSON object: %v", err)
	}
	members := membersOf(kind)
	for name := range given {
		if !slices.ContainsFunc(members, func(one member) bool { return one.name == name }) {
			return config, Invalid(name, "there is no such member")
		}
	}
	for _, one := range members {
		value, has := given[one.name]
		if !has && one.isNeeded {
			return config, Invalid(one.name, "it is missing")
		}
		if !has {
			value = json.RawMessage(one.fallback)
		}
		if len(value) == 0 {
			continue
		}
		if err := one.set(reflect.ValueOf(&config).Elem().FieldByIndex(one.field.Index), value); err != nil {
			return config, err
		}
	}
	return config, nil
}

func (one *member) set(place reflect.Value, value json.RawMessage) error {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(place.Addr().Interface())
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return Invalid(strings.TrimSuffix(one.name+"."+wrong.Field, "."), "expected %s, not a %s", wrong.Type, wrong.Value)
	case err != nil:
		return Invalid(one.name, "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	values := one.field.Tag.Get("enum")
	if values != "" && !slices.Contains(strings.Split(values, ","), place.String()) {
		return Invalid(one.name, "it is none of %s", values)
	}
	return nil
}

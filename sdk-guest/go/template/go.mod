module {{name}}

go 1.24

require airlock v0.1.0

replace airlock => ./third_party/airlock/sdk-guest/go

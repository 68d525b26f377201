module airlock

go 1.24

module github.com/meterlog/meterlog

go 1.26

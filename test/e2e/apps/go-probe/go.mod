module example.org/probe

go 1.24

require example.org/answers v1.0.0

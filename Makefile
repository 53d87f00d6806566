# Aliases only; the commands live in internal/dev.
.PHONY: help setup test soak lint bench pulse
help: ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
setup: ## install the servers that the tests need
	go run ./internal/dev setup
test: ## vet and all tests with the race detector
	go run ./internal/dev test
soak: ## the same with the attacks in full length
	go run ./internal/dev soak
lint: ## staticcheck, gofumpt, actionlint
	go run ./internal/dev lint
bench: ## compare with peers
	go run ./internal/dev bench
pulse: ## run the reference product
	go run ./examples/pulse

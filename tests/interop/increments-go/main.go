// Publishes increments to Trivet's telemetry from Go, with nothing of ours: `increments URL COUNT`.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const perMessage = 100

func main() {
	count, err := strconv.Atoi(os.Args[2])
	check(err)
	connection, err := nats.Connect(os.Args[1])
	check(err)
	js, err := connection.JetStream(nats.PublishAsyncMaxPending(256))
	check(err)
	for sent := 0; sent < count; sent += perMessage {
		records := make([]string, 0, perMessage)
		for index := sent; index < sent+perMessage && index < count; index++ {
			records = append(records, fmt.Sprintf(
				`{"name": "increments", "type": "counter", "value": 1, "source": "go", "tags": {"shard": "%d"}}`, index%17))
		}
		_, err := js.PublishAsync("trivet.telemetry.metric", []byte("["+strings.Join(records, ",\n")+"]"), nats.StallWait(time.Minute))
		check(err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(2 * time.Minute):
		check(fmt.Errorf("not every publish was confirmed"))
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Fan-out by Centrifuge, the engine of Centrifugo, in memory and without history: `viewers PORT FEED`.
// Updates come as lines on the port FEED, `SCOPE JSON`; viewers speak Centrifuge's own protocol.
package main

import (
	"bufio"
	"bytes"
	"context"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/centrifugal/centrifuge"
)

func main() {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "viewer"}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	feed, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		updates, err := feed.Accept()
		if err != nil {
			log.Fatal(err)
		}
		for lines := bufio.NewScanner(updates); lines.Scan(); {
			scope, update, found := bytes.Cut(lines.Bytes(), []byte(" "))
			if !found {
				continue
			}
			if _, err := node.Publish(string(scope), bytes.Clone(update)); err != nil {
				log.Fatal(err)
			}
		}
	}()
	everybody := func(*http.Request) bool { return true }
	http.Handle("/ws/live", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{CheckOrigin: everybody}))
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}

package experiments_test

import (
	"reflect"

	"github.com/squallhq/squall/experiments"
	"github.com/squallhq/squall/internal/quantity"
	"github.com/squallhq/squall/internal/strict"
)

// The vocabulary of the tests: as many kinds of field as there are, with no
// injector behind them.
type (
	network struct {
		Delay quantity.Duration `yaml:"delay" doc:"Added to every packet." example:"200ms"`
		Loss  quantity.Percent  `yaml:"loss" default:"0%" doc:"The share of packets that are lost."`
		Rate  quantity.Rate     `yaml:"rate" example:"10mbit"`
		To    *filter           `yaml:"to" doc:"Only packets to there."`
	}
	filter struct {
		Ports []uint16 `yaml:"ports" example:"[5432]"`
		Hosts []string `yaml:"hosts"`
	}
	container struct {
		Kill string `yaml:"kill" enum:"SIGKILL|SIGTERM" default:"SIGKILL" doc:"The signal."`
	}
	docker struct {
		Name   string            `yaml:"name,shorthand" doc:"The container's name."`
		Labels map[string]string `yaml:"labels"`
	}
	http struct {
		URL     string            `yaml:"url" required:"true" example:"http://127.0.0.1:8080/"`
		Timeout quantity.Duration `yaml:"timeout" default:"1s"`
		Weight  float64           `yaml:"weight" default:"1"`
	}
)

func vocabulary() strict.Vocabulary {
	return strict.Vocabulary{
		experiments.TargetChoices: {{Key: "docker", Type: reflect.TypeFor[docker](), Doc: "Containers."}},
		experiments.SLIChoices:    {{Key: "http", Type: reflect.TypeFor[http](), Doc: "HTTP requests."}},
		experiments.FaultChoices: {
			{Key: "network", Type: reflect.TypeFor[network](), Doc: "Changes packets."},
			{Key: "container", Type: reflect.TypeFor[container](), Doc: "Changes containers."},
		},
	}
}

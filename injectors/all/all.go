// Package all lists every injector.
package all

import (
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/container"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/injectors/network"
)

// Registry returns a registry of every injector. The Docker engine is asked only
// when a fault needs it.
func Registry(client *docker.Client) *injectors.Registry {
	return injectors.NewRegistry(
		network.Injector(),
		container.Injector(client),
	)
}

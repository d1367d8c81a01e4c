// Package all lists every injector.
package all

import (
	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/container"
	"github.com/squallhq/squall/injectors/docker"
	"github.com/squallhq/squall/injectors/network"
)

// Registry returns a registry of every injector. The Docker engine is asked only
// when a fault needs it. shaper is how this program becomes the process that holds
// a network fault in user space: see network.Injector.
func Registry(client *docker.Client, shaper ...string) *injectors.Registry {
	return injectors.NewRegistry(
		network.Injector(shaper...),
		container.Injector(client),
	)
}

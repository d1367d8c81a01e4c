package filler_test

import (
	"os"
	"strings"
	"testing"

	"github.com/squallhq/squall/injectors"
	"github.com/squallhq/squall/injectors/injectortest"
	"github.com/squallhq/squall/injectors/injectortest/filler"
)

func TestConformance(t *testing.T) {
	injectortest.Run(t, injectortest.Suite{
		Injector: filler.Injector,
		Fresh: func(t *testing.T) (any, injectors.Target) {
			dir := t.TempDir()
			return &filler.Spec{Dir: dir, Bytes: 100}, injectors.Target{Kind: injectors.KindProcess, ID: dir, Name: "scratch"}
		},
		Observe: func(t *testing.T, target injectors.Target) string {
			entries, err := os.ReadDir(target.ID)
			if err != nil {
				return "gone"
			}
			var names []string
			for _, entry := range entries {
				names = append(names, entry.Name())
			}
			return strings.Join(names, " ")
		},
		Destroy: func(t *testing.T, target injectors.Target) {
			if err := os.RemoveAll(target.ID); err != nil {
				t.Fatal(err)
			}
		},
	})
}

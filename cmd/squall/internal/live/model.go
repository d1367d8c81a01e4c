package live

import (
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/squallhq/squall/experiments/engine"
)

// model is the view's state, for Bubble Tea. It asks the run how it goes, and holds
// nothing of it.
type model struct {
	snapshot func() engine.Snapshot
	events   func(n int) []engine.Event
	stopping func() bool
	stop     func()
	theme    theme
	started  time.Time

	now           time.Time
	width, height int
	presses       int
}

type tickMsg time.Time

func tick() tea.Cmd {
	return tea.Tick(refresh, func(t time.Time) tea.Msg { return tickMsg(t) })
}

func (m *model) Init() tea.Cmd {
	m.now = m.started
	return tick()
}

// Update never ends the view: it ends with the run, because a person must see the
// rollback that their key began.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tickMsg:
		m.now = time.Time(msg)
		return m, tick()
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q", "Q", "ctrl+c":
			m.presses++
			m.stop()
		}
	}
	return m, nil
}

func (m *model) View() tea.View {
	view := tea.NewView("")
	view.AltScreen = true
	if m.width > 0 {
		view.SetContent(frame{
			Snapshot: m.snapshot(), events: m.events(logged), now: m.now, footer: m.footer(),
			width: m.width, height: m.height,
		}.render(m.theme))
	}
	return view
}

func (m *model) footer() string {
	switch {
	case m.presses > 1:
		return "Already rolling back; everything is being put back. This can't be cut short."
	case m.stopping():
		return "Stopping: everything is being put back."
	}
	return "q  stop and roll back"
}

// A plugin for a version of the interface that is still to come.
#include "trivet_plugin.h"
#define ENTRY trivet_plugin_v2
#include "fixture.h"

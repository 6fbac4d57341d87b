// PluginTests: being built.

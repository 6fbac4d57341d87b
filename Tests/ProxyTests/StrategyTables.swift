// Strategies of the tests' own, laid out as a plugin lays them out.

import Balance
import CTrivet

extension StrategyKind {
    /// A strategy whose state is `data` from its creation on; `complete` adds what it does. The table
    /// is never freed, as that of a loaded plugin is not.
    static func ofTest(
        _ name: StaticString, _ summary: StaticString, data: UnsafeMutableRawPointer,
        _ complete: (UnsafeMutablePointer<trivet_strategy>) -> Void
    ) throws -> StrategyKind {
        let table = UnsafeMutablePointer<trivet_strategy>.allocate(capacity: 1)
        unsafe table.initialize(to: trivet_strategy())
        unsafe table.pointee.size = UInt32(MemoryLayout<trivet_strategy>.size)
        unsafe table.pointee.name = forEver(name)
        unsafe table.pointee.summary = forEver(summary)
        unsafe table.pointee.data = data
        unsafe table.pointee.create = { table, _, _, _ in unsafe table!.pointee.data }
        unsafe table.pointee.destroy = { _ in }
        unsafe complete(table)
        return unsafe try StrategyKind(
            table: UnsafePointer(table),
            origin: PluginOrigin(file: "test.so", plugin: "test", version: "1"))
    }

    private static func forEver(_ words: StaticString) -> trivet_str {
        unsafe trivet_str(
            data: UnsafeRawPointer(words.utf8Start).assumingMemoryBound(to: CChar.self),
            len: words.utf8CodeUnitCount)
    }
}

// The shared objects of this process as the dynamic linker keeps them: their dynamic sections, what they
// need, and the places where addresses of imported functions stand. For the children of the kit only.
//
// After the System V ABI, chapter 5 ("Dynamic Linking"), and the supplements for x86-64 and AArch64.

import CLinux
import Glibc

/// One mapped object. Nothing here is unmapped while a child runs.
@safe
struct LoadedObject {
    let name: String
    private let base: UInt
    private let dynamic: UnsafePointer<Entry>

    private struct Entry {
        var tag: Int64
        var value: UInt
    }

    private struct Relocation {
        var offset: UInt
        var info: UInt64
        var addend: Int64
    }

    private struct Symbol {
        var name: UInt32
        var info: UInt8
        var other: UInt8
        var section: UInt16
        var value: UInt
        var size: UInt
    }

    #if arch(x86_64)
        /// R_X86_64_64, _GLOB_DAT, _JUMP_SLOT: the address of a symbol, as it is.
        private static let addressKinds: Set<UInt32> = [1, 6, 7]
    #elseif arch(arm64)
        /// R_AARCH64_ABS64, _GLOB_DAT, _JUMP_SLOT.
        private static let addressKinds: Set<UInt32> = [257, 1025, 1026]
    #endif

    /// All but the program itself and the linker: in the order in which they were loaded.
    static func all() -> [LoadedObject] {
        // What glibc's dlopen gives out is the linker's record of the object: here the program's,
        // the first in its list.
        guard let handle = unsafe dlopen(nil, RTLD_NOW) else { return [] }
        var found: [LoadedObject] = []
        var next: UnsafeMutablePointer<link_map>? = unsafe handle.assumingMemoryBound(
            to: link_map.self)
        while let map = unsafe next {
            unsafe next = unsafe map.pointee.l_next
            let name = unsafe String(cString: map.pointee.l_name)
            guard !name.isEmpty, name.contains("/"), !Files.name(of: name).hasPrefix("ld-"),
                let dynamic = unsafe UnsafeRawPointer(map.pointee.l_ld)
            else { continue }
            unsafe found.append(
                LoadedObject(
                    name: name, base: UInt(map.pointee.l_addr),
                    dynamic: dynamic.assumingMemoryBound(to: Entry.self)))
        }
        return found
    }

    private func value(_ tag: Int64) -> UInt? {
        var at = unsafe dynamic
        while unsafe at.pointee.tag != 0 {
            if unsafe at.pointee.tag == tag { return unsafe at.pointee.value }
            unsafe at += 1
        }
        return nil
    }

    /// An address of the dynamic section, which the linker has made absolute, or not.
    private func address(_ tag: Int64) -> UnsafeRawPointer? {
        guard let value = value(tag) else { return nil }
        return unsafe UnsafeRawPointer(bitPattern: value < base ? value + base : value)
    }

    /// Whether its list of needed libraries has this name.
    func needs(_ library: String) -> Bool {
        guard let texts = unsafe address(5) else { return false }
        var at = unsafe dynamic
        while unsafe at.pointee.tag != 0 {
            if unsafe at.pointee.tag == 1 {
                let name = unsafe (texts + Int(at.pointee.value)).assumingMemoryBound(
                    to: CChar.self)
                if unsafe String(cString: name) == library { return true }
            }
            unsafe at += 1
        }
        return false
    }

    /// Calls `body` with every place that holds the address of an imported symbol, and its name.
    func forEachImport(_ body: (UnsafePointer<CChar>, UnsafeMutablePointer<UInt>) -> Void) {
        guard let texts = unsafe address(5), let symbols = unsafe address(6) else { return }
        // DT_RELA with DT_RELASZ, DT_JMPREL with DT_PLTRELSZ; neither architecture has DT_REL.
        for (table, size) in [(7, 8), (23, 2)] as [(Int64, Int64)] {
            guard let start = unsafe address(table), let bytes = value(size) else { continue }
            for index in 0..<(Int(bytes) / MemoryLayout<Relocation>.stride) {
                let entry = unsafe (start + index * MemoryLayout<Relocation>.stride)
                    .assumingMemoryBound(to: Relocation.self).pointee
                guard Self.addressKinds.contains(UInt32(truncatingIfNeeded: entry.info)),
                    entry.addend == 0,
                    let slot = unsafe UnsafeMutablePointer<UInt>(bitPattern: base + entry.offset)
                else { continue }
                let place = Int(entry.info >> 32) * MemoryLayout<Symbol>.stride
                let symbol = unsafe (symbols + place).assumingMemoryBound(to: Symbol.self)
                let name = unsafe (texts + Int(symbol.pointee.name)).assumingMemoryBound(
                    to: CChar.self)
                unsafe body(name, slot)
            }
        }
    }
}

using System.Globalization;
using System.Numerics;
using System.Text;
using RepVgg.Runtime;

namespace RepVgg.Weights.PyTorch;

/// <summary>Reads a pickle without executing code. The result contains data, and tensors as references to storages.</summary>
/// <remarks>
/// Source: Python's pickletools, protocols 0 to 5. A call of a global that is not in <see cref="PickleGlobals"/> gives a <see cref="PickleObject"/>,
/// which holds only the name of the global; its arguments, items and state are dropped. The memory of the objects is limited in proportion to the
/// number of bytes, and the time is proportional to both.
/// </remarks>
internal sealed class PickleMachine
{
    private const int MaximumObjects = 4_000_000;
    private const int MaximumText = 16 << 20; // arrays beside the weights are texts
    private const int MaximumInteger = 256;

    // The memory of all objects in bytes is at most MemoryFactor times the bytes of the pickle, and SpareMemory. A pickle that Python wrote needs
    // 5 to 8 times its size, a hostile one of empty dictionaries a hundred times.
    private const int MemoryFactor = 10;
    private const long SpareMemory = 4 << 20;

    // The size of objects in memory in bytes, with their share of the arrays that refer to them.
    private const int ReferenceSize = 8, BoxSize = 24, HeaderSize = 24, ListSize = 32, EntrySize = 56, TensorSize = 160, StorageSize = 160;

    private static readonly object _true = true, _false = false;

    // Boxed integers that are used again: the sizes and strides of tensors. They are created when they first occur.
    private static readonly object?[] _integers = new object?[1 << 16];

    private readonly PickleInput _input;
    private readonly List<object?> _stack = [];
    private readonly List<int> _marks = [];

    // The memoized objects: those with the indices 0, 1, 2 .. without a gap, as Python numbers them, and others.
    private readonly List<object?> _memo = [];
    private readonly Dictionary<uint, object?> _otherMemo = [];
    private readonly OrderedDictionary<string, int> _foreign = new(StringComparer.Ordinal);
    private int _objects, _highestStack;
    private long _memory;

    /// <summary>The foreign classes and functions that the pickle refers to, in order, with the number of objects made of each; 0 for a mere reference.</summary>
    public IReadOnlyDictionary<string, int> Foreign => _foreign;

    /// <summary>The storages that tensors refer to, by key. They are whole storages, not views.</summary>
    public Dictionary<string, PickleStorage> Storages { get; } = new(StringComparer.Ordinal);

    /// <summary>The number of values of storages whose values cannot be read, and the size of a value in bytes, by key; null is an unknown size.</summary>
    public Dictionary<string, (long Count, int? Size)> ForeignStorages { get; } = new(StringComparer.Ordinal);

    /// <param name="input">The bytes of the pickle.</param>
    public PickleMachine(PickleInput input) => _input = input;

    /// <summary>Reads one pickle up to its STOP instruction, and returns the unpickled object.</summary>
    public object? Load()
    {
        while (true)
        {
            byte code = _input.Byte();
            if (code == (byte)'.')
                return Pop();
            Execute(code);
        }
    }

    private void Execute(byte code)
    {
        switch (code)
        {
            case 0x80: _input.Byte(); break; // PROTO
            case 0x95: _input.UInt64(); break; // FRAME
            case (byte)'N': Push(null); break;
            case 0x88: Push(_true); break;
            case 0x89: Push(_false); break;
            case (byte)'K': Push(Box(_input.Byte())); break;
            case (byte)'M': Push(Box(_input.UInt16())); break;
            case (byte)'J': Push(Box((int)_input.UInt32())); break;
            case (byte)'I' or (byte)'L': Push(IntegerLine(_input.Line())); break; // INT, LONG
            case 0x8a: Push(Integer(_input.Byte())); break; // LONG1
            case 0x8b: Push(Integer(_input.UInt32())); break; // LONG4
            case (byte)'F': Push(Float(FloatLine(_input.Line()))); break; // FLOAT
            case (byte)'G': Push(Float(BitConverter.Int64BitsToDouble((long)System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(_input.UInt64())))); break;
            case (byte)'S': Push(Counted(Quoted(_input.Line(MaximumText)))); break; // STRING
            case (byte)'V': Push(Counted(Unescape(_input.Line(MaximumText)))); break; // UNICODE
            case (byte)'X': Push(Text(_input.UInt32())); break; // BINUNICODE
            case 0x8c: Push(Text(_input.Byte())); break; // SHORT_BINUNICODE
            case 0x8d: Push(Text(_input.UInt64())); break; // BINUNICODE8
            case (byte)'U': Push(Text(_input.Byte())); break; // SHORT_BINSTRING
            case (byte)'T': Push(Text(_input.UInt32())); break; // BINSTRING
            case (byte)'C': Push(Bytes(_input.Byte())); break; // SHORT_BINBYTES
            case (byte)'B': Push(Bytes(_input.UInt32())); break; // BINBYTES
            case 0x8e or 0x96: Push(Bytes(_input.UInt64())); break; // BINBYTES8, BYTEARRAY8
            case (byte)'}': Push(Dictionary()); break;
            case (byte)'d': { var items = PopMark(); var dictionary = Dictionary(); SetItems(dictionary, items); Push(dictionary); break; } // DICT
            case (byte)']' or 0x8f: Push(NewList([])); break; // EMPTY_LIST, EMPTY_SET
            case (byte)'l' or 0x91: Push(NewList(PopMark())); break; // LIST, FROZENSET
            case (byte)')': Push(Array.Empty<object?>()); break;
            case (byte)'(': Mark(); break;
            case (byte)'t': Push(PopMark()); break;
            case 0x85: Push(PopMany(1)); break;
            case 0x86: Push(PopMany(2)); break;
            case 0x87: Push(PopMany(3)); break;
            case (byte)'0': Pop(); break;
            case (byte)'1': PopMark(); break;
            case (byte)'2': Push(Peek()); break; // DUP
            case (byte)'p': Memoize(Index(_input.Line())); break; // PUT
            case (byte)'q': Memoize(_input.Byte()); break;
            case (byte)'r': Memoize(_input.UInt32()); break;
            case 0x94: Memoize((uint)(_memo.Count + _otherMemo.Count)); break; // MEMOIZE
            case (byte)'g': Push(Recall(Index(_input.Line()))); break; // GET
            case (byte)'h': Push(Recall(_input.Byte())); break;
            case (byte)'j': Push(Recall(_input.UInt32())); break;
            case (byte)'a': { object? item = Pop(); Append("APPEND", item); break; }
            case (byte)'e': { var items = PopMark(); Append("APPENDS", items); break; }
            case 0x90: { var items = PopMark(); Append("ADDITEMS", items); break; }
            case (byte)'s': { var items = PopMany(2); SetItems("SETITEM", items); break; }
            case (byte)'u': { var items = PopMark(); SetItems("SETITEMS", items); break; }
            case (byte)'c': Push(Global(_input.Line(), _input.Line())); break;
            case 0x93: { var names = PopMany(2); Push(Global(Expect<string>(names[0], "STACK_GLOBAL"), Expect<string>(names[1], "STACK_GLOBAL"))); break; }
            case (byte)'R': { var call = PopMany(2); Push(Call(call[0], Expect<object?[]>(call[1], "REDUCE"), "REDUCE")); break; }
            case 0x81: { var call = PopMany(2); Push(Call(call[0], Expect<object?[]>(call[1], "NEWOBJ"), "NEWOBJ")); break; }
            case 0x92: { var call = PopMany(3); Push(Call(call[0], Expect<object?[]>(call[1], "NEWOBJ_EX"), "NEWOBJ_EX")); break; }
            case (byte)'i': { var type = Global(_input.Line(), _input.Line()); Push(Call(type, PopMark(), "INST")); break; }
            case (byte)'o': { var call = PopMark(); Push(Call(call is [var type, ..] ? type : null, call.Length > 0 ? call[1..] : [], "OBJ")); break; }
            case (byte)'b': Pop(); CheckBuild(); break; // the state is not needed: attributes of an OrderedDict (_metadata) or of a foreign object
            case (byte)'Q': Push(Storage(Expect<object?[]>(Pop(), "BINPERSID"))); break;
            default: throw _input.Bad($"its pickle holds instruction 0x{code:x2}, which is not supported");
        }
    }

    /// <summary>Makes the result of a call or of the creation of an object. Nothing is executed.</summary>
    private object? Call(object? callee, object?[] arguments, string instruction)
    {
        if (callee is PickleObject made)
            return made; // the result of a foreign call is called in turn
        var global = Expect<PickleGlobal>(callee, instruction);
        if (PickleGlobals.IsKnown(global.Name))
            return Reduce(global, arguments);
        // Python's default reduction names the class in the first argument.
        if (PickleGlobals.MakesObjectOfFirstArgument(global.Name) && arguments is [PickleGlobal type, ..])
            global = type;
        Take(HeaderSize);
        _foreign[global.Name] = _foreign.GetValueOrDefault(global.Name) + 1;
        return new PickleObject(global.Name);
    }

    private object? Reduce(PickleGlobal global, object?[] arguments)
    {
        switch (global.Name)
        {
            case PickleGlobals.OrderedDictionary:
                var dictionary = Dictionary();
                if (arguments is [List<object?> pairs])
                {
                    // Python 2 writes the pairs as lists.
                    foreach (object? pair in pairs)
                        SetItems(dictionary, pair is List<object?> { Count: 2 } list ? [.. list] : Expect<object?[]>(pair, "OrderedDict"));
                }
                else if (arguments.Length != 0)
                {
                    throw _input.Bad("its pickle makes an OrderedDict of something other than pairs");
                }
                return dictionary;
            case PickleGlobals.DefaultDictionary:
                return Dictionary();
            case PickleGlobals.Size when arguments is [object?[] dimensions]:
                return dimensions;
            case PickleGlobals.RebuildParameter or PickleGlobals.RebuildParameterWithState when arguments is [PickleTensor or PickleObject, ..]:
                return arguments[0];
            case PickleGlobals.RebuildFromType when arguments is [PickleGlobal { Name: PickleGlobals.RebuildTensorV2 } rebuild, _, object?[] rest, ..]:
                return Reduce(rebuild, rest);
            case PickleGlobals.RebuildFromType:
                return new PickleObject(global.Name);
            case PickleGlobals.RebuildTensor or PickleGlobals.RebuildTensorV2 when arguments is [PickleStorage storage, long offset, object?[] shape, object?[] strides, ..]:
                return Tensor(storage, offset, shape, strides);
            case PickleGlobals.RebuildTensor or PickleGlobals.RebuildTensorV2 when arguments is [PickleObject storage, ..]:
                return storage; // a tensor of values of an unknown type
            default:
                throw _input.Bad($"its pickle calls '{global.Name}' with arguments that it does not take");
        }
    }

    private PickleTensor Tensor(PickleStorage storage, long offset, object?[] shape, object?[] strides)
    {
        const int MaximumRank = 16;
        if (shape.Length != strides.Length || shape.Length > MaximumRank || offset < 0)
            throw _input.Bad("a tensor's shape, strides and offset are inconsistent");
        var dimensions = new int[shape.Length];
        var steps = new long[shape.Length];
        Int128 count = 1, last = offset;
        for (int i = 0; i < shape.Length; i++)
        {
            if (shape[i] is not long dimension || dimension < 0 || dimension > Array.MaxLength || strides[i] is not long step || step < 0)
                throw _input.Bad("a tensor's shape or strides are not valid sizes");
            dimensions[i] = (int)dimension;
            steps[i] = step;
            count = count > Array.MaxLength ? count : count * dimension;
            last += dimension == 0 ? 0 : (Int128)(dimension - 1) * step;
        }
        if (count > Array.MaxLength)
            throw _input.Bad($"a tensor of shape [{string.Join(", ", dimensions)}] has too many values");
        if (count > 0 && last >= storage.Count) // several indices can have the same value, as in an expanded tensor
            throw _input.Bad($"a tensor of shape [{string.Join(", ", dimensions)}] reaches beyond its storage of {storage.Count} values");
        Take(TensorSize);
        return new PickleTensor(storage, offset, dimensions, steps);
    }

    /// <summary>Reads the reference to a storage; a storage of an unknown class gives a <see cref="PickleObject"/>.</summary>
    private object Storage(object?[] id)
    {
        // In legacy files of whole modules: ('module', class, source file, source text).
        if (id is ["module", PickleGlobal module, ..])
            return module;
        // ('storage', class, key, location, count) and, in legacy files, (view key, offset, count) or None.
        if (id is not [string kind, PickleGlobal type, string key, _, long count, ..] || kind != "storage" || count < 0)
            throw _input.Bad("its pickle refers to a persistent object that is not a storage");
        Take(StorageSize);
        if (PickleGlobals.StorageType(type.Name) is not { } scalar)
        {
            ForeignStorages[key] = (count, PickleGlobals.ForeignValueSize(type.Name));
            return PickleGlobals.IsKnown(type.Name) ? throw _input.Bad("its pickle refers to a persistent object that is not a storage") : Call(type, [], "BINPERSID")!;
        }
        var storage = new PickleStorage(scalar, key, count);
        if (Storages.TryGetValue(key, out var other) && other != storage)
            throw _input.Bad($"its pickle describes storage '{key}' in two ways");
        Storages[key] = storage;
        if (id is not [_, _, _, _, _, object?[] view, ..])
            return storage;
        if (view is not [_, long offset, long viewCount] || offset < 0 || viewCount < 0 || offset > count - viewCount)
            throw _input.Bad("a view of a storage lies outside it");
        return new PickleStorage(scalar, key, viewCount, offset);
    }

    private PickleGlobal Global(string module, string name)
    {
        string full = MessageText.Printable($"{module}.{name}");
        Take(HeaderSize + SizeOf(full));
        if (!PickleGlobals.IsKnown(full) && !PickleGlobals.IsPartOfReduction(full))
        {
            if (_foreign.TryAdd(full, 0))
                Take(EntrySize);
        }
        return new PickleGlobal(full);
    }

    private void Append(string instruction, params object?[] items)
    {
        // The items of a foreign object, such as one of a class derived from list, are dropped.
        if (Peek() is PickleObject)
            return;
        Take((long)ReferenceSize * items.Length);
        Peek<List<object?>>(instruction).AddRange(items);
    }

    private void SetItems(string instruction, object?[] items)
    {
        if (Peek() is not PickleObject)
            SetItems(Peek<PickleDictionary>(instruction), items);
    }

    private void SetItems(PickleDictionary dictionary, object?[] items)
    {
        if (items.Length % 2 != 0)
            throw _input.Bad("its pickle sets a key without a value");
        for (int i = 0; i < items.Length; i += 2)
        {
            if (items[i] is not string key)
                continue;
            Take(EntrySize);
            dictionary.Set(key, items[i + 1]);
        }
    }

    private void CheckBuild()
    {
        if (Peek() is not (PickleDictionary or PickleObject or PickleTensor))
            throw _input.Bad("its pickle uses BUILD on an object of the wrong type");
    }

    private object IntegerLine(string line) => line switch
    {
        "00" => false,
        "01" => true,
        _ when BigInteger.TryParse(line.TrimEnd('L'), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) => Narrow(value),
        _ => throw _input.Bad("its pickle holds an integer that is not a number"),
    };

    private double FloatLine(string line) => line switch
    {
        "nan" => double.NaN,
        "inf" => double.PositiveInfinity,
        "-inf" => double.NegativeInfinity,
        _ when double.TryParse(line, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) => value,
        _ => throw _input.Bad("its pickle holds a number that cannot be read"),
    };

    private uint Index(string line) =>
        uint.TryParse(line, NumberStyles.None, CultureInfo.InvariantCulture, out uint index) ? index : throw _input.Bad("its pickle refers to an object that it did not memoize");

    /// <summary>Removes the quotes of a byte string. Escape sequences in it are kept, because names of weights have none.</summary>
    private string Quoted(string line) =>
        line is ['\'', .., '\''] or ['"', .., '"'] ? line[1..^1] : throw _input.Bad("its pickle holds a string without quotes");

    /// <summary>Decodes Python's raw-unicode-escape, in which \uXXXX and \UXXXXXXXX are the only escape sequences.</summary>
    private string Unescape(string line)
    {
        if (!line.Contains('\\'))
            return line;
        var text = new StringBuilder(line.Length);
        for (int i = 0; i < line.Length; i++)
        {
            int digits = line[i] == '\\' && i + 1 < line.Length ? line[i + 1] switch { 'u' => 4, 'U' => 8, _ => 0 } : 0;
            if (digits == 0)
            {
                text.Append(line[i]);
                continue;
            }
            if (i + 2 + digits > line.Length || !int.TryParse(line.AsSpan(i + 2, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int code)
                || code is < 0 or > 0x10ffff)
            {
                throw _input.Bad("its pickle holds a text with a damaged escape sequence");
            }
            text.Append(code is >= 0xd800 and < 0xe000 || code < 0x10000 ? ((char)code).ToString() : char.ConvertFromUtf32(code));
            i += 1 + digits;
        }
        return text.ToString();
    }

    private string Text(ulong length) => Counted(Encoding.UTF8.GetString(_input.Bytes(length, MaximumText)));

    private string Counted(string text)
    {
        Take(SizeOf(text));
        return text;
    }

    private static long SizeOf(string text) => HeaderSize + 2L * text.Length;

    private byte[] Bytes(ulong length)
    {
        byte[] bytes = _input.Bytes(length, MaximumText);
        Take(HeaderSize + bytes.Length);
        return bytes;
    }

    private PickleDictionary Dictionary()
    {
        Take(HeaderSize);
        return new PickleDictionary();
    }

    private List<object?> NewList(object?[] items)
    {
        Take(ListSize + (long)ReferenceSize * items.Length);
        return [.. items];
    }

    private object Float(double value)
    {
        Take(BoxSize);
        return value;
    }

    private object Integer(ulong length) => Narrow(new BigInteger(_input.Bytes(length, MaximumInteger)));

    /// <summary>Boxes an integer as a long, the type of all sizes and counts, if it is in range.</summary>
    private object Narrow(BigInteger value)
    {
        if (value >= long.MinValue && value <= long.MaxValue)
            return Box((long)value);
        Take(BoxSize + value.GetByteCount());
        return value;
    }

    private object Box(long value)
    {
        if (value >= 0 && value < _integers.Length)
            return _integers[value] ??= value;
        Take(BoxSize);
        return value;
    }

    /// <summary>Counts the memory of an object.</summary>
    private void Take(long bytes)
    {
        _memory += bytes;
        if (_memory > SpareMemory + MemoryFactor * _input.BytesRead)
            throw _input.Bad($"the objects of its pickle need more than {MemoryFactor} times as much memory as it has bytes");
    }

    private void Push(object? value)
    {
        if (++_objects > MaximumObjects)
            throw _input.Bad($"its pickle holds more than {MaximumObjects} objects");
        _stack.Add(value);
        if (_stack.Count <= _highestStack)
            return;
        _highestStack = _stack.Count;
        Take(ReferenceSize);
    }

    private void Mark()
    {
        if (++_objects > MaximumObjects)
            throw _input.Bad($"its pickle holds more than {MaximumObjects} objects");
        _marks.Add(_stack.Count);
    }

    private int Floor => _marks.Count > 0 ? _marks[^1] : 0;

    private object? Peek() => _stack.Count > Floor ? _stack[^1] : throw _input.Bad("its pickle takes from an empty stack");

    private T Peek<T>(string instruction) => Expect<T>(Peek(), instruction);

    private object? Pop()
    {
        object? value = Peek();
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    private object?[] PopMany(int count)
    {
        if (_stack.Count - Floor < count)
            throw _input.Bad("its pickle takes from an empty stack");
        if (count == 0)
            return [];
        Take(HeaderSize + (long)ReferenceSize * count);
        var values = new object?[count];
        _stack.CopyTo(_stack.Count - count, values, 0, count);
        _stack.RemoveRange(_stack.Count - count, count);
        return values;
    }

    private object?[] PopMark()
    {
        if (_marks.Count == 0)
            throw _input.Bad("its pickle takes from an empty stack");
        var values = PopMany(_stack.Count - Floor);
        _marks.RemoveAt(_marks.Count - 1);
        return values;
    }

    private void Memoize(uint index)
    {
        object? value = Peek();
        if (_memo.Count + _otherMemo.Count >= MaximumObjects)
            throw _input.Bad($"its pickle memoizes more than {MaximumObjects} objects");
        if (index < _memo.Count)
        {
            _memo[(int)index] = value;
        }
        else if (index == _memo.Count)
        {
            Take(ReferenceSize);
            _memo.Add(value);
            _otherMemo.Remove(index);
        }
        else
        {
            Take(EntrySize);
            _otherMemo[index] = value;
        }
    }

    private object? Recall(uint index) => index < _memo.Count ? _memo[(int)index]
        : _otherMemo.TryGetValue(index, out object? value) ? value
        : throw _input.Bad("its pickle refers to an object that it did not memoize");

    private T Expect<T>(object? value, string instruction) =>
        value is T wanted ? wanted : throw _input.Bad($"its pickle uses {instruction} on an object of the wrong type");
}

using System.Buffers.Binary;
using System.Text;
using RepVgg.Weights.PyTorch;

namespace RepVgg.Tests.Weights.PyTorch;

/// <summary>Puts pickles together instruction by instruction, also such as no Python would write.</summary>
internal sealed class CraftedPickle
{
    private readonly MemoryStream _bytes = new();

    /// <summary>A zip checkpoint of this pickle and some storages.</summary>
    public byte[] InZip(params (string Key, int Bytes)[] storages)
    {
        using var stream = new MemoryStream();
        var zip = new ZipWriter(stream);
        zip.Add("archive/data.pkl", _bytes.ToArray());
        foreach (var (key, bytes) in storages)
            zip.Add($"archive/data/{key}", new byte[bytes]);
        zip.Finish();
        return stream.ToArray();
    }

    /// <summary>Raw instructions; each character is a byte.</summary>
    public CraftedPickle Raw(string instructions)
    {
        _bytes.Write(Encoding.Latin1.GetBytes(instructions));
        return this;
    }

    public CraftedPickle Repeat(string instructions, int times)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(instructions);
        for (int i = 0; i < times; i++)
            _bytes.Write(bytes);
        return this;
    }

    /// <summary>Instructions that depend on a number.</summary>
    public CraftedPickle Numbered(int times, Func<int, string> instructions)
    {
        for (int i = 0; i < times; i++)
            Raw(instructions(i));
        return this;
    }

    /// <summary>A memo instruction with a 32-bit index.</summary>
    public static string Memo(char instruction, uint index) => $"{instruction}{(char)(index & 255)}{(char)(index >> 8 & 255)}{(char)(index >> 16 & 255)}{(char)(index >> 24)}";

    /// <summary>Puts the object on the stack into a dictionary under many keys, and that one into the next.</summary>
    public CraftedPickle SharedBy(int levels, int keys)
    {
        for (int level = 0; level < levels; level++)
            Raw("q\0}(").Numbered(keys, i => $"\u008c\u0006{i:000000}h\0").Raw("u");
        return this;
    }

    public CraftedPickle Global(string module, string name) => Raw($"c{module}\n{name}\n");

    public CraftedPickle Text(string text) => Length('X', (uint)text.Length).Raw(text);

    public CraftedPickle Int(int value) => Length('J', (uint)value);

    /// <summary>An instruction with a 32-bit length that may be a lie.</summary>
    public CraftedPickle Length(char instruction, uint length)
    {
        Span<byte> bytes = stackalloc byte[5];
        bytes[0] = (byte)instruction;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[1..], length);
        _bytes.Write(bytes);
        return this;
    }

    public CraftedPickle Tuple(params int[] values)
    {
        Raw("(");
        foreach (int value in values)
            Int(value);
        return Raw("t");
    }

    public CraftedPickle Storage(string key = "0", int count = 4, string type = "FloatStorage") =>
        Raw("(").Text("storage").Global("torch", type).Text(key).Text("cpu").Int(count).Raw("tQ");

    /// <summary>A tensor whose storage the caller has pushed after <see cref="Rebuild"/>.</summary>
    public CraftedPickle Rebuild() => Global("torch._utils", "_rebuild_tensor_v2").Raw("(");

    public CraftedPickle Window(int offset, int[] shape, int[] strides) => Int(offset).Tuple(shape).Tuple(strides).Raw("\u0089").Global("collections", "OrderedDict").Raw(")RtR");

    /// <summary>A dict with one tensor under the name "a".</summary>
    public static CraftedPickle OneTensor(int[] shape, int[] strides, int offset = 0, string key = "0", int count = 4, string type = "FloatStorage") =>
        new CraftedPickle().Raw("\u0080\u0002}").Text("a").Rebuild().Storage(key, count, type).Window(offset, shape, strides).Raw("s.");
}

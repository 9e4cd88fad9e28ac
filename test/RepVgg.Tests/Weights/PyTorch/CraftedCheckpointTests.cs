using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using RepVgg.Runtime.Simd;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Tests.Weights.PyTorch;

/// <summary>Checkpoints made to hurt: each gives one clear error, executes nothing and takes little memory.</summary>
public class CraftedCheckpointTests
{
    private static readonly int[] _four = [4], _one = [1];

    public static TheoryData<string> Pickles => [.. Crafted.Keys];

    private static Dictionary<string, (Func<CraftedPickle> Pickle, string Expected)> Crafted { get; } = new()
    {
        ["os.system"] = (() => Start.Global("os", "system").Text("true").Raw("\u0085R."), "refers to 'os.system'"),
        ["stack global"] = (() => Start.Text("builtins").Text("exec").Raw("\u0093."), "refers to 'builtins.exec'"),
        ["subprocess by NEWOBJ"] = (() => Start.Global("subprocess", "Popen").Raw(")\u0081."), "refers to 'subprocess.Popen'"),
        ["nested attribute"] = (() => Start.Text("torch").Text("storage._load_from_bytes").Raw("\u0093."), "refers to 'torch.storage._load_from_bytes'"),
        ["allowed class, evil module"] = (() => Start.Global("torch", "FloatStorage.__init__"), "refers to 'torch.FloatStorage.__init__'"),
        ["complex storage"] = (() => CraftedPickle.OneTensor(_four, _one, type: "ComplexFloatStorage"), "refers to 'torch.ComplexFloatStorage'"),
        ["INST"] = (() => Start.Raw("(ios\nsystem\n."), "instruction 0x69"),
        ["OBJ"] = (() => Start.Raw("(o."), "instruction 0x6f"),
        ["EXT1"] = (() => Start.Raw("\u0082\u0001."), "instruction 0x82"),
        ["PERSID"] = (() => Start.Raw("Pkey\n."), "instruction 0x50"),
        ["protocol 0 integer"] = (() => Start.Raw("I1\n."), "instruction 0x49"),
        ["call of a text"] = (() => Start.Text("system").Raw(")R."), "REDUCE on an object of the wrong type"),
        ["call with a list"] = (() => Start.Global("collections", "OrderedDict").Raw("]R."), "REDUCE on an object of the wrong type"),
        ["BUILD on a text"] = (() => Start.Text("a").Raw("}b."), "BUILD on an object of the wrong type"),
        ["BUILD on a tensor class"] = (() => Start.Global("torch", "FloatStorage").Raw("}b."), "BUILD on an object of the wrong type"),
        ["call of a storage class"] = (() => Start.Global("torch", "FloatStorage").Raw(")R."), "calls 'torch.FloatStorage'"),
        ["OrderedDict of a number"] = (() => Start.Global("collections", "OrderedDict").Raw("K\u0001\u0085R."), "OrderedDict of something"),
        ["OrderedDict of numbers"] = (() => Start.Global("collections", "OrderedDict").Raw("](K\u0001e\u0085R."), "OrderedDict on an object of the wrong type"),
        ["parameter of nothing"] = (() => Start.Global("torch._utils", "_rebuild_parameter").Raw("N\u0089}\u0087R."), "calls 'torch._utils._rebuild_parameter'"),
        ["empty stack"] = (() => Start.Raw("0."), "empty stack"),
        ["STOP on an empty stack"] = (() => Start.Raw("."), "empty stack"),
        ["tuple without mark"] = (() => Start.Raw("Nt."), "empty stack"),
        ["pop below a mark"] = (() => Start.Raw("N(0."), "empty stack"),
        ["append to a tuple"] = (() => Start.Raw(")Na."), "APPEND on an object of the wrong type"),
        ["set in a list"] = (() => Start.Raw("]NNs."), "SETITEM on an object of the wrong type"),
        ["key without value"] = (() => Start.Raw("}(Nu."), "a key without a value"),
        ["unknown memo"] = (() => Start.Raw("h\u0007."), "an object that it did not memoize"),
        ["no end"] = (() => Start.Raw("}"), "cut off"),
        ["nothing"] = (() => new CraftedPickle(), "cut off"),
        ["text of 4 GB"] = (() => Start.Length('X', uint.MaxValue).Raw("a."), "a string of 4294967295 bytes"),
        ["bytes of 2^63"] = (() => Start.Raw("\u008e\0\0\0\0\0\0\0\u0080."), "a string of 9223372036854775808 bytes"),
        ["integer of 2 GB"] = (() => Start.Length('\u008b', 0x7fffffff).Raw("\u0001."), "a string of 2147483647 bytes"),
        ["name without end"] = (() => Start.Raw("c").Repeat("a", 5000), "a line that is too long"),
        ["five million marks"] = (() => Start.Repeat("(", 5_000_000), "more than 4000000 objects"),
        ["five million lists"] = (() => Start.Repeat("]", 5_000_000), "more than 4000000 objects"),
        ["dict in itself"] = (() => Start.Raw("}q\0").Text("model").Raw("h\0s."), "holds no weights"),
        ["list in itself"] = (() => Start.Raw("]q\0h\0a."), "holds no weights"),
        ["deep tuples"] = (() => Start.Raw(")").Repeat("\u0085", 1_000_000).Raw("."), "holds no weights"),
        ["a number"] = (() => Start.Raw("K\u0001."), "holds no weights"),
        ["huge tensor"] = (() => CraftedPickle.OneTensor([int.MaxValue, int.MaxValue, int.MaxValue], [1, 1, 1]), "not valid sizes"),
        ["eight huge dimensions"] = (() => CraftedPickle.OneTensor([.. Enumerable.Repeat(int.MaxValue, 8)], new int[8]), "not valid sizes"),
        ["empty and huge"] = (() => CraftedPickle.OneTensor([0, int.MaxValue, int.MaxValue], [1, 1, 1]), "not valid sizes"),
        ["negative dimension"] = (() => CraftedPickle.OneTensor([-4], _one), "not valid sizes"),
        ["negative stride"] = (() => CraftedPickle.OneTensor(_four, [-1], 3), "not valid sizes"),
        ["negative offset"] = (() => CraftedPickle.OneTensor(_four, _one, -1), "shape, strides and offset are inconsistent"),
        ["offset beyond"] = (() => CraftedPickle.OneTensor(_four, _one, 1), "reaches beyond its storage"),
        ["stride beyond"] = (() => CraftedPickle.OneTensor([2], [4]), "reaches beyond its storage"),
        ["stride zero"] = (() => CraftedPickle.OneTensor([100], [0]), "reaches beyond its storage"),
        ["more strides than dimensions"] = (() => CraftedPickle.OneTensor(_four, [1, 1]), "shape, strides and offset are inconsistent"),
        ["seventeen dimensions"] = (() => CraftedPickle.OneTensor([.. Enumerable.Repeat(1, 17)], [.. Enumerable.Repeat(1, 17)]), "shape, strides and offset are inconsistent"),
        ["shape of texts"] = (() => Start.Raw("}").Text("a").Rebuild().Storage().Int(0).Raw("(").Text("4").Raw("t").Tuple(1).Raw("\u0089}tRs."), "not valid sizes"),
        ["negative storage"] = (() => CraftedPickle.OneTensor(_four, _one, count: -4), "not a storage"),
        ["storage larger than its entry"] = (() => CraftedPickle.OneTensor([5], _one, count: 5), "too few for 5 values"),
        ["storage of doubles larger than its entry"] = (() => CraftedPickle.OneTensor(_four, _one, type: "DoubleStorage"), "too few for 4 values"),
        ["storage elsewhere"] = (() => CraftedPickle.OneTensor(_four, _one, key: "../../../etc/passwd"), "no entry 'archive/data/../../../etc/passwd'"),
        ["storage in two ways"] = (() => Start.Storage().Storage(count: 3).Raw("."), "in two ways"),
        ["storage that is none"] = (() => Start.Raw("(").Text("module").Raw("tQ."), "not a storage"),
    };

    private static CraftedPickle Start => new CraftedPickle().Raw("\u0080\u0002");

    [Theory]
    [MemberData(nameof(Pickles))]
    public void A_crafted_pickle_is_refused(string name)
    {
        var (pickle, expected) = Crafted[name];
        byte[] file = pickle().InZip(("0", 16));
        long before = GC.GetAllocatedBytesForCurrentThread();
        string message = Assert.Throws<InvalidDataException>(() => PthReader.Read(new MemoryStream(file))).Message;
        Assert.Contains(expected, message);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, (400 << 20) + 16L * file.Length);
    }

    [Fact]
    public void A_good_tensor_is_read()
    {
        var state = PthReader.Read(new MemoryStream(CraftedPickle.OneTensor(_four, _one).InZip(("0", 16))));
        Assert.Equal(new float[4], state["a"].Values);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_storage_that_is_shared_a_thousand_times_is_refused(bool strided)
    {
        const int Count = 1 << 20;
        var pickle = Start.Raw("}(");
        for (int i = 0; i < 1000; i++)
        {
            pickle.Text($"a{i}").Rebuild().Storage(count: Count);
            pickle = strided ? pickle.Window(0, [2], [Count - 1]) : pickle.Window(0, [Count], [1]);
        }
        byte[] file = pickle.Raw("u.").InZip(("0", Count * 4));
        Assert.Contains("share storages so often", Assert.Throws<InvalidDataException>(() => PthReader.Read(new MemoryStream(file))).Message);
    }

    [Fact]
    public void Compressed_entries_are_refused_whatever_they_would_inflate_to()
    {
        using var stream = new MemoryStream();
        using (var zip = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true))
        {
            using var entry = zip.CreateEntry("archive/data.pkl", CompressionLevel.SmallestSize).Open();
            for (int i = 0; i < 200; i++)
                entry.Write(new byte[1 << 20]);
        }
        Assert.Contains("'archive/data.pkl' is compressed", Refusal(stream.ToArray()));
    }

    [Fact]
    public void A_zip_of_something_else_is_refused()
    {
        using var stream = new MemoryStream();
        var zip = new ZipWriter(stream);
        zip.Add("word/document.xml", "<w/>"u8);
        zip.Finish();
        Assert.Contains("without 'data.pkl'", Refusal(stream.ToArray()));
    }

    [Fact]
    public void Two_entries_of_one_name_are_refused()
    {
        using var stream = new MemoryStream();
        var zip = new ZipWriter(stream);
        zip.Add("archive/data.pkl", "\u0080\u0002N."u8);
        zip.Add("archive/data.pkl", "\u0080\u0002N."u8);
        zip.Finish();
        Assert.Contains("two entries", Refusal(stream.ToArray()));
    }

    [Fact]
    public void Big_endian_files_are_refused()
    {
        using var stream = new MemoryStream();
        var zip = new ZipWriter(stream);
        zip.Add("archive/data.pkl", Encoding.Latin1.GetBytes("\u0080\u0002N."));
        zip.Add("archive/byteorder", "big"u8);
        zip.Finish();
        Assert.Contains("big-endian", Refusal(stream.ToArray()));
    }

    /// <summary>Offsets are counted from the mark of the record in question.</summary>
    [Theory]
    [InlineData(0x06054b50u, 16, 0xfffffff0u, "outside the file")] // directory's offset
    [InlineData(0x06054b50u, 12, 0x7fffffffu, "outside the file")] // directory's size
    [InlineData(0x06054b50u, 10, 0x0000ffffu, "")] // more entries than there are; also breaks the size
    [InlineData(0x02014b50u, 42, 0xfffffff0u, "outside the file")] // an entry's position
    [InlineData(0x02014b50u, 42, 7u, "no header where the directory says")]
    [InlineData(0x02014b50u, 24, 0x7fffffffu, "two different sizes")]
    [InlineData(0x02014b50u, 8, 1u, "is encrypted")]
    [InlineData(0x02014b50u, 28, 0x0000ffffu, "cut off")] // a name longer than the directory
    [InlineData(0x04034b50u, 26, 0xffffffffu, "is cut off")] // a local name longer than the file
    public void A_damaged_directory_is_refused(uint mark, int offset, uint value, string expected)
    {
        byte[] file = CraftedPickle.OneTensor(_four, _one).InZip(("0", 16));
        Span<byte> bytes = stackalloc byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, mark);
        int at = file.AsSpan().IndexOf(bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at + offset), value);
        Assert.Contains(expected, Refusal(file));
    }

    [Fact]
    public void An_entry_cut_off_by_its_size_is_refused()
    {
        byte[] file = CraftedPickle.OneTensor(_four, _one).InZip(("0", 16));
        int at = file.AsSpan().IndexOf("PK\u0001\u0002"u8);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at + 20), 0x7fffffff);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at + 24), 0x7fffffff);
        Assert.Contains("is cut off", Refusal(file));
    }

    /// <summary>An entry whose sizes and position stand in a Zip64 extra field, as in checkpoints of more than 4 GiB.</summary>
    [Theory]
    [InlineData(24, null)]
    [InlineData(16, "Zip64 sizes are cut off")]
    public void Zip64_sizes_are_read(int room, string? expected)
    {
        byte[] file = CraftedPickle.OneTensor(_four, _one).InZip(("0", 16));
        int directory = file.AsSpan().IndexOf("PK\u0001\u0002"u8), end = file.AsSpan().IndexOf("PK\u0005\u0006"u8);
        int nameLength = BinaryPrimitives.ReadUInt16LittleEndian(file.AsSpan(directory + 28));
        byte[] entry = file[directory..(directory + 46 + nameLength)];
        byte[] extra = new byte[8 + 4 + room];
        BinaryPrimitives.WriteUInt16LittleEndian(extra, 0x7777); // another program's field, of 4 bytes
        BinaryPrimitives.WriteUInt16LittleEndian(extra.AsSpan(2), 4);
        BinaryPrimitives.WriteUInt16LittleEndian(extra.AsSpan(8), 1);
        BinaryPrimitives.WriteUInt16LittleEndian(extra.AsSpan(10), (ushort)room);
        foreach (var (i, field) in new[] { 24, 20, 42 }.Index())
        {
            if (12 + 8 * i + 8 <= extra.Length)
                BinaryPrimitives.WriteInt64LittleEndian(extra.AsSpan(12 + 8 * i), BinaryPrimitives.ReadUInt32LittleEndian(entry.AsSpan(field)));
            BinaryPrimitives.WriteUInt32LittleEndian(entry.AsSpan(field), uint.MaxValue);
        }
        BinaryPrimitives.WriteUInt16LittleEndian(entry.AsSpan(30), (ushort)extra.Length);
        byte[] widened = [.. file[..directory], .. entry, .. extra, .. file[(directory + entry.Length)..]];
        Span<byte> size = widened.AsSpan(end + extra.Length + 12);
        BinaryPrimitives.WriteUInt32LittleEndian(size, (uint)(end - directory + extra.Length));
        if (expected is null)
            Assert.Equal(new float[4], PthReader.Read(new MemoryStream(widened))["a"].Values);
        else
            Assert.Contains(expected, Refusal(widened));
    }

    [Fact]
    public void Foreign_files_are_refused()
    {
        Assert.Contains("it is empty", Refusal([]));
        Assert.Contains("neither a zip file nor a pickle", Refusal("\u0089PNG\r\n"u8.ToArray()));
        Assert.Contains("not PyTorch's", Refusal(Encoding.Latin1.GetBytes("\u0080\u0002N.")));
        Assert.Contains("ends without a zip directory", Refusal(Encoding.Latin1.GetBytes("PK\u0003\u0004" + new string('x', 100))));
    }

    private static string Refusal(byte[] file) => Assert.Throws<InvalidDataException>(() => PthReader.Read(new MemoryStream(file))).Message;
}

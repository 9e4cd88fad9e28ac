using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using RepVgg.Runtime.Files;
using RepVgg.Runtime.Simd;
using RepVgg.Testing;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Tests.Weights.PyTorch;

/// <summary>Checkpoints made to hurt: each gives one clear error, or its weights alone; nothing is executed, and little memory is taken.</summary>
public sealed class CraftedCheckpointTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private static readonly int[] _four = [4], _one = [1];

    public static TheoryData<string> Pickles => [.. Crafted.Keys];

    private static Dictionary<string, (Func<CraftedPickle> Pickle, string Expected)> Crafted { get; } = new()
    {
        ["os.system"] = (() => Start.Global("os", "system").Text("true").Raw("\u0085R."), "holds no weights: it is an object of os.system"),
        ["stack global"] = (() => Start.Text("builtins").Text("exec").Raw("\u0093."), "holds no weights: neither named tensors nor a dictionary of them, but objects that are never built: builtins.exec (1)"),
        ["subprocess by NEWOBJ"] = (() => Start.Global("subprocess", "Popen").Raw(")\u0081."), "holds no weights: it is an object of subprocess.Popen"),
        ["nested attribute"] = (() => Start.Text("torch").Text("storage._load_from_bytes").Raw("\u0093."), "holds no weights: neither named tensors nor a dictionary of them, but objects that are never built: torch.storage._load_from_bytes (1)"),
        ["allowed class, evil module"] = (() => Start.Global("torch", "FloatStorage.__init__"), "cut off"),
        ["complex storage"] = (() => CraftedPickle.OneTensor(_four, _one, type: "ComplexFloatStorage"), "objects that are never built: torch.ComplexFloatStorage (1)"),
        ["INST"] = (() => Start.Raw("(").Text("true").Raw("ios\nsystem\n."), "holds no weights: it is an object of os.system"),
        ["OBJ"] = (() => Start.Raw("(").Global("os", "system").Text("true").Raw("o."), "holds no weights: it is an object of os.system"),
        ["EXT1"] = (() => Start.Raw("\u0082\u0001."), "instruction 0x82"),
        ["PERSID"] = (() => Start.Raw("Pkey\n."), "instruction 0x50"),
        ["EXT2"] = (() => Start.Raw("\u0083\u0001\0."), "instruction 0x83"),
        ["EXT4"] = (() => Start.Raw("\u0084\u0001\0\0\0."), "instruction 0x84"),
        ["NEXT_BUFFER"] = (() => Start.Raw("\u0097."), "instruction 0x97"),
        ["OBJ of nothing"] = (() => Start.Raw("(o."), "OBJ on an object of the wrong type"),
        ["OBJ of a text"] = (() => Start.Raw("(").Text("os.system").Raw("o."), "OBJ on an object of the wrong type"),
        ["NEWOBJ_EX of a text"] = (() => Start.Text("os.system").Raw(")}\u0092."), "NEWOBJ_EX on an object of the wrong type"),
        ["NEWOBJ_EX"] = (() => Start.Global("os", "system").Raw(")}\u0092."), "holds no weights: it is an object of os.system"),
        ["reconstructor"] = (() => Start.Global("copyreg", "_reconstructor").Raw("(").Global("os", "system").Global("builtins", "object").Raw("NtR."), "holds no weights: it is an object of os.system"),
        ["call of a call"] = (() => Start.Global("builtins", "getattr").Text("a").Raw("\u0085R)R."), "holds no weights: it is an object of builtins.getattr"),
        ["control characters in a name"] = (() => Start.Text("o\u001b[2Js").Text("system").Raw("\u0093)R."), "it is an object of o?[2Js.system"),
        ["long name"] = (() => Start.Text(new string('a', 100_000)).Text("b").Raw("\u0093)R."), $"it is an object of {new string('a', 200)}..., and"),
        ["integer without digits"] = (() => Start.Raw("Ix\n."), "an integer that is not a number"),
        ["long of letters"] = (() => Start.Raw("L0x10L\n."), "an integer that is not a number"),
        ["float of letters"] = (() => Start.Raw("Fx\n."), "a number that cannot be read"),
        ["string without quotes"] = (() => Start.Raw("Sabc\n."), "a string without quotes"),
        ["string of one quote"] = (() => Start.Raw("S'\n."), "a string without quotes"),
        ["damaged escape sequence"] = (() => Start.Raw("V\\u12\n."), "a damaged escape sequence"),
        ["escape sequence beyond Unicode"] = (() => Start.Raw("V\\U00110000\n."), "a damaged escape sequence"),
        ["memo of a text"] = (() => Start.Raw("Npx\n."), "an object that it did not memoize"),
        ["unknown memo by line"] = (() => Start.Raw("g12\n."), "an object that it did not memoize"),
        ["dict without value"] = (() => Start.Raw("(Nd."), "a key without a value"),
        ["weight of a foreign class"] = (() => Start.Raw("}").Text("a.weight").Global("os", "system").Raw(")Rs").Text("b").Rebuild().Storage().Window(0, _four, _one).Raw("s."), "'a.weight' as an object of os.system"),
        ["weight of a foreign storage"] = (() => Start.Raw("}").Text("a.weight").Rebuild().Storage(type: "FloatStorage.__init__").Window(0, _four, _one).Raw("s").Text("b").Rebuild().Storage().Window(0, _four, _one).Raw("s."), "'a.weight' as an object of torch.FloatStorage.__init__"),
        ["twenty thousand foreign classes"] = (() => Foreign(20_000), "more classes"),
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
        ["five million lists"] = (() => Start.Repeat("]", 5_000_000), "more than 10 times as much memory as it has bytes"),
        ["dict in itself"] = (() => Start.Raw("}q\0").Text("model").Raw("h\0s."), "holds no weights"),
        ["list in itself"] = (() => Start.Raw("]q\0h\0a."), "holds no weights"),
        ["deep tuples"] = (() => Start.Raw(")").Repeat("\u0085", 100_000).Raw("."), "holds no weights"),
        ["a number"] = (() => Start.Raw("K\u0001."), "holds no weights"),
        ["huge tensor"] = (() => CraftedPickle.OneTensor([int.MaxValue, int.MaxValue, int.MaxValue], [1, 1, 1]), "not valid sizes"),
        ["eight huge dimensions"] = (() => CraftedPickle.OneTensor([.. Enumerable.Repeat(int.MaxValue, 8)], new int[8]), "not valid sizes"),
        ["empty and huge"] = (() => CraftedPickle.OneTensor([0, int.MaxValue, int.MaxValue], [1, 1, 1]), "not valid sizes"),
        ["negative dimension"] = (() => CraftedPickle.OneTensor([-4], _one), "not valid sizes"),
        ["negative stride"] = (() => CraftedPickle.OneTensor(_four, [-1], 3), "not valid sizes"),
        ["negative offset"] = (() => CraftedPickle.OneTensor(_four, _one, -1), "shape, strides and offset are inconsistent"),
        ["offset beyond"] = (() => CraftedPickle.OneTensor(_four, _one, 1), "reaches beyond its storage"),
        ["stride beyond"] = (() => CraftedPickle.OneTensor([2], [4]), "reaches beyond its storage"),
        ["expanded to 1 GB"] = (() => CraftedPickle.OneTensor([1 << 28], [0]), "far more memory than the file has"),
        ["expanded beyond any array"] = (() => CraftedPickle.OneTensor([1 << 16, 1 << 16], [0, 0]), "[65536, 65536] has too many values"),
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

    private static CraftedPickle Foreign(int count)
    {
        var pickle = Start.Raw("](");
        for (int i = 0; i < count; i++)
            pickle.Raw($"cm\n{i}\n");
        return pickle.Raw("e.");
    }

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

    /// <summary>Pickles of objects that take much more memory than their instructions, or that can be walked in many ways.</summary>
    private static readonly Dictionary<string, Func<int, CraftedPickle>> _large = new()
    {
        ["lists"] = n => Start.Repeat("]", n),
        ["dictionaries"] = n => Start.Repeat("}", n),
        ["dictionaries of one item"] = n => Start.Raw("(").Repeat("}\u008c\u0001aNs", n / 6).Raw("l."),
        ["nothing in a tuple"] = n => Start.Raw("(").Repeat("N", n).Raw("t."),
        ["nothing in a list"] = n => Start.Raw("](").Repeat("N", n).Raw("e."),
        ["tuples in tuples"] = n => Start.Raw(")").Repeat("\u0085", n).Raw("."),
        ["small tuples"] = n => Start.Raw("(").Repeat("N\u0085", n / 2).Raw("t."),
        ["numbers"] = n => Start.Raw("](").Repeat("K\u0001", n / 2).Raw("e."),
        ["long numbers"] = n => Start.Raw("](").Repeat("\u008a\u0000", n / 2).Raw("e."),
        ["lines of numbers"] = n => Start.Raw("](").Repeat("I1\n", n / 3).Raw("e."),
        ["floats"] = n => Start.Raw("](").Repeat("F1\n", n / 3).Raw("e."),
        ["texts"] = n => Start.Raw("](").Repeat("\u008c\u0000", n / 2).Raw("e."),
        ["marks"] = n => Start.Repeat("(", n),
        ["copies"] = n => Start.Raw("N").Repeat("2", n).Raw("."),
        ["memo"] = n => Start.Raw("N").Repeat("\u0094", n).Raw("."),
        ["memo with gaps"] = n => Start.Raw("N").Numbered(n / 5, i => CraftedPickle.Memo('r', 2 * (uint)i + 7)).Raw("."),
        ["globals"] = n => Start.Raw("](").Repeat("ca\nb\n", n / 5).Raw("e."),
        ["calls"] = n => Start.Raw("](").Repeat("ca\nb\n)R", n / 7).Raw("e."),
        ["one long list in many dictionaries"] = n => Start.Global("collections", "OrderedDict").Raw("q\u0000](").Numbered(n / 40, i => $"\u008c\u0004{i:0000}K\u0001\u0086").Raw("eq\u00010").Repeat("h\0h\u0001\u0085R0", n / 10).Raw("N."),
        ["tuples shared by tuples"] = n => Start.Raw(")").Repeat("q\0h\0\u0086", n / 5).Raw("."),
        ["dictionaries shared by dictionaries"] = n => Start.Raw("}").Repeat("q\0}(\u008c\u0001ah\0\u008c\u0001bh\0u", n / 14).Raw("."),
        ["a wide tree of shared dictionaries"] = n => Start.Raw("}").Text("x.weight").Rebuild().Storage().Int(0).Tuple(2, 2).Tuple(2, 1).Raw("\u0089}tRs").SharedBy(5, n / 60).Raw("."),
        ["cyclic lists"] = n => Start.Raw("](").Repeat("]q\0h\0a", n / 6).Raw("e."),
    };

    public static TheoryData<string> LargePickles => [.. _large.Keys];

    [Theory]
    [MemberData(nameof(LargePickles))]
    public void The_memory_of_a_pickle_follows_its_size(string name)
    {
        foreach (int bytes in (int[])[1000, 100_000, 3_000_000])
        {
            byte[] file = _large[name](bytes).InZip(("0", 16));
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                PthReader.Read(new MemoryStream(file));
            }
            catch (InvalidDataException error)
            {
                Assert.InRange(error.Message.Length, 1, 20_000);
            }
            // What is allocated in all; less than half of it is held at the same time.
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, (24 << 20) + 40L * file.Length);
        }
    }

    [Fact]
    public void A_dictionary_under_two_keys_is_an_entry_of_both()
    {
        byte[] file = Start.Raw("}q\u0001").Text("a.weight").Rebuild().Storage().Int(0).Tuple(2, 2).Tuple(2, 1).Raw("\u0089}tRs0}").Text("model").Raw("h\u0001s").Text("ema").Raw("h\u0001s.").InZip(("0", 16));
        using var folder = new TemporaryFolder();
        string path = folder.Write("two.pth", file);
        Assert.Equal("model", ByteSource.Use(path, source => PthReader.Open(source, "model").Entry));
        Assert.Equal("ema", ByteSource.Use(path, source => PthReader.Open(source, "ema").Entry));
    }

    [Fact]
    public void A_good_tensor_is_read()
    {
        var state = PthReader.Read(new MemoryStream(CraftedPickle.OneTensor(_four, _one).InZip(("0", 16))));
        Assert.Equal(new float[4], state["a"].Values);
    }

    /// <summary>Calls beside the weights, by every instruction that makes an object. None is executed; the file that they would make does not appear.</summary>
    [Theory]
    [InlineData("(Vtouch /tmp/repvgg-was-here\ntR")]
    [InlineData("(Vtouch /tmp/repvgg-was-here\nt\u0081")]
    [InlineData("(Vtouch /tmp/repvgg-was-here\nt}\u0092")]
    [InlineData(")R}b")]
    [InlineData(")R(NNe")]
    [InlineData(")R(VK\nNu")]
    [InlineData(")R)R")]
    public void Calls_beside_the_weights_are_not_executed(string call)
    {
        File.Delete("/tmp/repvgg-was-here");
        var pickle = Start.Raw("}").Text("a").Rebuild().Storage().Window(0, _four, _one).Raw("s").Text("b").Global("os", "system").Raw(call).Raw("s.");
        Assert.Equal(["a"], PthReader.Read(new MemoryStream(pickle.InZip(("0", 16)))).Names);
        pickle = Start.Raw("}").Text("a").Rebuild().Storage().Window(0, _four, _one).Raw("s").Text("b").Raw("(").Global("os", "system").Text("touch /tmp/repvgg-was-here").Raw("os.");
        Assert.Equal(["a"], PthReader.Read(new MemoryStream(pickle.InZip(("0", 16)))).Names);
        Assert.False(File.Exists("/tmp/repvgg-was-here"));
    }

    /// <summary>Dictionaries of tensors under keys with dots, and one that contains itself under a thousand keys.</summary>
    [Fact]
    public void Keys_of_any_kind_lead_to_the_weights()
    {
        foreach (string key in (string[])[".a", "a.", ".", "..", "a.b", "x"])
        {
            string path = Write(Start.Raw("}").Text(key).Raw("}").Text("n").Rebuild().Storage().Window(0, _four, _one).Raw("ss."));
            using var stream = File.OpenRead(path);
            var file = ByteSource.Of(stream);
            var opened = PthReader.Open(file);
            Assert.Equal((key, "n"), (opened.Entry, Assert.Single(opened.State.Names)));
            var named = PthReader.Open(file, key);
            Assert.Equal(key, named.Entry);
            var below = PthReader.Open(file, key + ".n");
            Assert.Equal(key, below.Entry);
        }

        var cyclic = Start.Raw("}q\0(");
        for (int i = 0; i < 1000; i++)
            cyclic.Text($"k{i}").Raw("h\0");
        cyclic.Text("n").Rebuild().Storage().Window(0, _four, _one).Raw("u.");
        using var whole = File.OpenRead(Write(cyclic));
        var own = PthReader.Open(ByteSource.Of(whole));
        Assert.Equal(("", "n"), (own.Entry, Assert.Single(own.State.Names)));
    }

    /// <summary>Python 2 writes the pairs of an OrderedDict as lists.</summary>
    [Fact]
    public void Pairs_of_an_OrderedDict_may_be_lists()
    {
        var pickle = Start.Global("collections", "OrderedDict").Raw("]](").Text("a").Rebuild().Storage().Window(0, _four, _one).Raw("ea\u0085R.");
        Assert.Equal(["a"], PthReader.Read(new MemoryStream(pickle.InZip(("0", 16)))).Names);
    }

    private string Write(CraftedPickle pickle) => _folder.Write("crafted.pth", pickle.InZip(("0", 16)));

    /// <summary>Sizes, offsets and counts in every instruction that Python has for integers.</summary>
    [Theory]
    [InlineData("K\u0004", "K\u0001", "K\0")]
    [InlineData("M\u0004\0", "M\u0001\0", "M\0\0")]
    [InlineData("\u008a\u0001\u0004", "\u008a\u0001\u0001", "\u008a\0")]
    [InlineData("\u008a\u0008\u0004\0\0\0\0\0\0\0", "\u008a\u0009\u0001\0\0\0\0\0\0\0\0", "\u008a\u0001\0")]
    [InlineData("\u008b\u0001\0\0\0\u0004", "\u008b\u0001\0\0\0\u0001", "\u008b\0\0\0\0")]
    [InlineData("I4\n", "I1\n", "I0\n")]
    [InlineData("L4L\n", "L1L\n", "L0L\n")]
    public void Sizes_may_be_written_as_any_integer(string four, string one, string zero)
    {
        var pickle = Start.Raw("}").Text("a").Rebuild()
            .Raw("(").Text("storage").Global("torch", "FloatStorage").Text("0").Text("cpu").Raw(four).Raw("tQ")
            .Raw(zero).Raw($"({four}t({one}t\u0089").Global("collections", "OrderedDict").Raw(")RtRs.");
        var state = PthReader.Read(new MemoryStream(pickle.InZip(("0", 16))));
        Assert.Equal([4], state["a"].Shape);
        Assert.Equal(new float[4], state["a"].Values);
    }

    [Theory]
    [InlineData("Va\\u00fc\\U0001f600\n", "aü\U0001f600")]
    [InlineData("S'abc'\n", "abc")]
    [InlineData("S\"abc\"\n", "abc")]
    [InlineData("U\u0003abc", "abc")]
    [InlineData("\u008c\u0003abc", "abc")]
    [InlineData("\u008d\u0003\0\0\0\0\0\0\0abc", "abc")]
    public void Names_may_be_written_as_any_text(string instruction, string expected)
    {
        var pickle = Start.Raw("(").Raw(instruction).Rebuild().Storage().Window(0, _four, _one).Raw("d.");
        Assert.Equal([expected], PthReader.Read(new MemoryStream(pickle.InZip(("0", 16)))).Names);
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
        Assert.Contains("without 'data.pkl', not a PyTorch checkpoint", Refusal(stream.ToArray()));
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

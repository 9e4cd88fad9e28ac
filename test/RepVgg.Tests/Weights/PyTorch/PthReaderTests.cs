using RepVgg.Runtime.Files;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace RepVgg.Tests.Weights.PyTorch;

/// <summary>Checkpoints that PyTorch itself wrote; Golden/pytorch/make.py says how.</summary>
public class PthReaderTests
{
    [Theory]
    [InlineData("dtypes-zip")]
    [InlineData("dtypes-legacy")]
    public void Every_type_is_converted(string name)
    {
        var state = Read(name);
        foreach (string type in (string[])["float32", "float16", "bfloat16", "float64"])
            Check(type, i => (i - 3) * 0.25f);
        foreach (string type in (string[])["int64", "int32", "int16", "int8"])
            Check(type, i => i - 3);
        Check("uint8", i => i);
        Check("bool", i => i > 3 ? 1 : 0);
        Assert.Equal(2.5f, Assert.Single(state["scalar"].Values));
        Assert.Empty(state["scalar"].Shape);
        Assert.Equal([0, 3], state["empty"].Shape);
        Assert.Equal(12, state.Count);

        void Check(string type, Func<int, float> value)
        {
            Assert.Equal([3, 4], state[type].Shape);
            Assert.Equal(Enumerable.Range(0, 12).Select(value), state[type].Values);
        }
    }

    [Theory]
    [InlineData("strided-zip")]
    [InlineData("strided-legacy")]
    public void Views_and_shared_storages_are_resolved(string name)
    {
        var state = Read(name);
        Assert.Equal(["base", "transposed", "window", "tied", "tail"], state.Names);
        Assert.Equal(Enumerable.Range(0, 24).Select(i => (float)i), state["base"].Values);
        Assert.Equal(state["base"].Values, state["tied"].Values);
        Assert.NotSame(state["base"].Values, state["tied"].Values);
        Assert.Equal([6, 4], state["transposed"].Shape);
        Assert.Equal(Enumerable.Range(0, 24).Select(i => (float)(i % 4 * 6 + i / 4)), state["transposed"].Values);
        Assert.Equal([2, 3], state["window"].Shape);
        Assert.Equal([7f, 9f, 11f, 13f, 15f, 17f], state["window"].Values);
        Assert.Equal([20f, 21f, 22f, 23f], state["tail"].Values);
    }

    [Fact]
    public void A_modules_state_is_read_without_its_metadata_and_counters()
    {
        var state = Read("module");
        Assert.Equal(["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"], state.Names);
        Assert.Equal([2, 1, 3, 3], state["0.weight"].Shape);
        Assert.Equal([1f, 1f], state["1.running_var"].Values);
    }

    [Theory]
    [InlineData("wrapped-model", "module.a", "module.b")]
    [InlineData("wrapped-twice", "a")]
    [InlineData("protocol4", "a", "b")]
    public void Wrappers_are_taken_off(string name, params string[] expected)
    {
        var state = Read(name);
        Assert.Equal(expected, state.Names);
        Assert.All(state[expected[0]].Values, value => Assert.Equal(1f, value));
    }

    [Fact]
    public void A_call_beside_the_weights_is_not_executed_and_listed()
    {
        File.Delete("/tmp/repvgg-was-here");
        using var stream = File.OpenRead(PathOf("evil-system"));
        var opened = PthReader.Open(ByteSource.Of(stream));
        Assert.Equal([1f], opened.State["a"].Values);
        Assert.Equal("a", Assert.Single(opened.State.Names));
        Assert.Equal(["posix.system (1)"], opened.LeftOut);
        Assert.False(File.Exists("/tmp/repvgg-was-here"));
    }

    [Theory]
    [InlineData("evil-eval", "holds no weights: it is an object of __builtin__.eval")]
    [InlineData("whole-module", "holds no weights: it is an object of torch.nn.modules.container.Sequential")]
    [InlineData("no-weights", "holds no weights")]
    [InlineData("script", "is a TorchScript archive")]
    [InlineData("not-a-float", "'a' of integers, and 1099511627777 cannot be represented exactly")]
    public void What_is_no_weights_is_refused_by_name(string name, string expected)
    {
        File.Delete("/tmp/repvgg-was-here");
        string path = PathOf(name);
        string message = Assert.Throws<InvalidDataException>(() => PthReader.Read(path)).Message;
        Assert.StartsWith($"'{path}' ", message);
        Assert.Contains(expected, message);
        Assert.False(File.Exists("/tmp/repvgg-was-here"));
    }

    [Fact]
    public void A_tensor_that_repeats_one_value_is_read()
    {
        float[] values = PthReader.Read(PathOf("expanded"))["a"].Values;
        Assert.Equal(1000, values.Length);
        Assert.Single(values.Distinct());
    }

    [Fact]
    public void A_stream_that_cannot_seek_is_read()
    {
        using var file = File.OpenRead(PathOf("dtypes-zip"));
        using var forward = new ForwardStream(file);
        Assert.Equal(12, PthReader.Read(forward).Count);
    }

    [Theory]
    [InlineData("dtypes-zip")]
    [InlineData("strided-legacy")]
    [InlineData("protocol4")]
    public void A_truncated_file_is_refused_wherever_it_ends(string name)
    {
        byte[] file = File.ReadAllBytes(PathOf(name));
        for (int length = 0; length < file.Length; length++)
        {
            byte[] part = file[..length];
            Assert.Contains("The stream", Assert.Throws<InvalidDataException>(() => PthReader.Read(new MemoryStream(part))).Message);
        }
    }

    [Fact]
    public void There_must_be_a_file() => Assert.Throws<FileNotFoundException>(() => PthReader.Read(PathOf("none")));

    private static string PathOf(string name) => GoldenFiles.PathOf(Path.Combine("pytorch", $"{name}.pth"));

    private static StateDict Read(string name) => PthReader.Read(PathOf(name));

    /// <summary>Reads only forward, as a network stream does.</summary>
    private sealed class ForwardStream(Stream inner) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, Math.Min(count, 7));

        public override void Flush() => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}

using RepVgg.Runtime.Files;
using RepVgg.Testing;
using RepVgg.Weights.Hdf5;
using Xunit;

namespace RepVgg.Tests.Weights.Keras;

/// <summary>Files of h5py, which Golden/keras/make.py writes, and damaged ones.</summary>
public sealed class Hdf5FileTests
{
    [Theory]
    [InlineData("f2")]
    [InlineData("f4")]
    [InlineData("f8")]
    [InlineData("big-f2")]
    [InlineData("big-f4")]
    [InlineData("big-f8")]
    [InlineData("bfloat16")]
    public void Floating_point_numbers_of_all_sizes_are_read(string name)
    {
        var dataset = Open("types.h5").Dataset(name);

        Assert.Equal([3, 4], dataset.Shape);
        Assert.Equal(Numbers(12), dataset.Read());
    }

    [Fact]
    public void Single_and_empty_datasets_are_read_and_integers_refused()
    {
        var file = Open("types.h5");

        Assert.Equal([1.5f], file.Dataset("single").Read());
        Assert.Empty(file.Dataset("empty").Read());
        Assert.Equal([0, 3], file.Dataset("empty").Shape);
        Assert.Contains("64-bit integers", Refused(() => file.Dataset("integers").Read()));
    }

    [Theory]
    [InlineData("plain", 35)]
    [InlineData("gzip", 105)]
    [InlineData("shuffle", 360)]
    [InlineData("fletcher", 35)]
    [InlineData("all", 432)]
    [InlineData("many", 600)]
    public void Chunks_and_their_filters_are_read(string name, int count) => Assert.Equal(Numbers(count), Open("chunks.h5").Dataset(name).Read());

    [Theory]
    [InlineData("chunks.h5", "lzf", "filter 32000 ('lzf')")]
    [InlineData("chunks.h5", "missing", "2 of 4 chunks")]
    [InlineData("groups.h5", "external", "a link to another file")]
    [InlineData("groups.h5", "soft", "a soft link")]
    [InlineData("groups.h5", "outside", "in other files, which are not read")]
    [InlineData("groups.h5", "virtual", "a virtual dataset")]
    [InlineData("groups.h5", "absent", "it has no '/absent'")]
    [InlineData("groups.h5", "group", "'/group' is not a dataset")]
    [InlineData("latest.h5", "many/part_1", "fractal heap")]
    [InlineData("latest.h5", "chunked", "libver='latest'")]
    public void What_is_not_read_is_refused_with_the_reason(string file, string path, string reason) => Assert.Contains(reason, Refused(() => Open(file).Dataset(path).Read()));

    [Fact]
    public void Texts_are_read()
    {
        var file = Open("texts.h5");

        Assert.Equal(["conv2d", "conv2d_1"], file.Texts("fixed"));
        Assert.Equal(["conv2d", "dense", ""], file.Texts("variable"));
        Assert.Equal("tensorflow", file.Text("one"));
        Assert.Empty(file.Texts("none")!);
        Assert.Equal(["a", "b", "c"], file.Texts("split"));
        Assert.Null(file.Texts("absent"));
        Assert.Contains("64-bit integers, not strings", Refused(() => file.Texts("number")));
    }

    [Fact]
    public void Large_groups_are_read()
    {
        var group = Open("groups.h5").Group("group");

        Assert.Equal(300, group.Names.Count());
        for (int i = 0; i < 300; i++)
            Assert.Equal([i], group.Dataset($"part_{i}/value").Read());
    }

    [Fact]
    public void Object_headers_of_version_2_are_read()
    {
        var file = Open("latest.h5");

        Assert.Equal(Numbers(12), file.Dataset("layer/vars/0").Read());
        Assert.Equal("tensorflow", file.Text("one"));
    }

    [Theory]
    [InlineData("plain-tree.h5")]
    [InlineData("structures/chunks.h5")]
    [InlineData("structures/texts.h5")]
    [InlineData("structures/latest.h5")]
    public void Damaged_files_are_refused_or_read_but_never_do_harm(string name)
    {
        byte[] sound = File.ReadAllBytes(GoldenFiles.PathOf(Path.Combine("keras", name)));
        int refused = 0;
        for (int seed = 0; seed < 400; seed++)
        {
            var random = new Random(seed);
            byte[] bytes = (byte[])sound.Clone();
            for (int i = random.Next(1, 5); i > 0; i--)
            {
                int at = random.Next(bytes.Length);
                // Most bytes of a file are weights; those of its structure contain zeros.
                bytes[at] = (byte)(random.Next(3) == 0 ? 255 : random.Next(256));
            }
            refused += Walk(bytes) ? 0 : 1;
        }
        for (int length = 0; length < sound.Length; length += Math.Max(1, sound.Length / 150))
            Assert.False(Walk(sound[..length]), $"The first {length} bytes were read.");
        Assert.InRange(refused, 1, 400);
    }

    /// <summary>Addresses that lead back to their own node: a reader that follows them without end would exhaust the stack or the time.</summary>
    [Fact]
    public void Nodes_that_refer_to_themselves_are_refused()
    {
        byte[] bytes = File.ReadAllBytes(GoldenFiles.PathOf(Path.Combine("keras", "plain-tree.h5")));
        int nodes = 0;
        for (int at = 0; (at = IndexOf(bytes, "TREE"u8, at)) >= 0; at += 4)
        {
            // A group's node above the lowest level: its first child becomes the node itself.
            if (bytes[at + 4] != 0 || bytes[at + 5] == 0)
                continue;
            BitConverter.TryWriteBytes(bytes.AsSpan(at + 32), (long)at);
            nodes++;
        }

        Assert.True(nodes > 3);
        Assert.False(Walk(bytes));

        static int IndexOf(byte[] bytes, ReadOnlySpan<byte> what, int from) => bytes.AsSpan(from).IndexOf(what) is >= 0 and var found ? from + found : -1;
    }

    [Fact]
    public void Links_that_form_a_cycle_do_not_hang_the_reader()
    {
        // The header of the group 'layer' in place of that of 'vars': /layer/vars/vars/vars ...
        var writer = new Hdf5Writer();
        writer.Add("a/b/c", new RepVgg.Weights.TensorData([1f]));
        using var stream = new MemoryStream();
        writer.Write(stream);
        byte[] bytes = stream.ToArray();
        var headers = new List<int>();
        for (int at = 0; at + 8 < bytes.Length; at += 8)
        {
            if (bytes.AsSpan(at, 8).SequenceEqual((byte[])[1, 0, 1, 0, 1, 0, 0, 0]))
                headers.Add(at);
        }
        // Groups are written after their members: b, a, and the root.
        Assert.Equal(3, headers.Count);
        int entry = bytes.AsSpan().IndexOf("SNOD"u8);
        while (BitConverter.ToInt64(bytes, entry + 16) != headers[0])
            entry += 4 + bytes.AsSpan(entry + 4).IndexOf("SNOD"u8);
        BitConverter.TryWriteBytes(bytes.AsSpan(entry + 16), (long)headers[1]);

        var group = Hdf5File.Open(ByteSource.Of(new MemoryStream(bytes))).Root;
        Assert.Contains("refer to each other", Refused(() =>
        {
            while (true)
                group = group.Group(group.Names.Single());
        }));
    }

    private static bool Walk(byte[] bytes)
    {
        try
        {
            Walk(Hdf5File.Open(ByteSource.Of(new MemoryStream(bytes))).Root, 0);
            return true;
        }
        catch (InvalidDataException)
        {
            return false;
        }
        catch (EndOfStreamException)
        {
            return false;
        }
    }

    private static void Walk(Hdf5Group group, int depth)
    {
        Assert.True(depth < 100);
        foreach (string attribute in (string[])["layer_names", "weight_names", "fixed", "variable", "one", "split"])
            group.Texts(attribute);
        foreach (string name in group.Names.Where(name => name is not ("lzf" or "missing" or "many" or "chunked")))
        {
            if (group.IsGroup(name))
                Walk(group.Group(name), depth + 1);
            else
                group.Dataset(name).Read();
        }
    }

    private static Hdf5Group Open(string name) => Hdf5File.Open(ByteSource.Of(new MemoryStream(File.ReadAllBytes(GoldenFiles.PathOf(Path.Combine("keras", "structures", name)))))).Root;

    private static float[] Numbers(int count) => [.. Enumerable.Range(0, count).Select(i => i * 0.25f - 3)];

    private static string Refused(Action read) => Assert.Throws<InvalidDataException>(read).Message;
}

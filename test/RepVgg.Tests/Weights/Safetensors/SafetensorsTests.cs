using System.Buffers.Binary;
using System.Text;
using RepVgg.Architectures;
using RepVgg.Testing;
using RepVgg.Tests.Weights.PyTorch;
using RepVgg.Weights;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Safetensors;

public class SafetensorsTests
{
    public static TheoryData<string> Golden => GoldenNetworks.Names;

    /// <summary>Headers, the number of value bytes that follow, and the reason for which the file is refused.</summary>
    public static TheoryData<string, int, string> Crafted => new()
    {
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 4, "lie beyond its end" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 12, "4 bytes after its tensors" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12, "'b' overlaps another tensor" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "overlaps another tensor" },
        { """{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "'a' begins after a gap" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", 4, "do not match its size of 4 bytes" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", 8, "not a valid range" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}""", 8, "not a valid range" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}""", 8, "not a valid range" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775807]}}""", 8, "do not match its size" },
        { """{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775808]}}""", 8, "header is damaged" },
        { """{"a":{"dtype":"F32","shape":[2147483647,2147483647,2147483647,2147483647],"data_offsets":[0,8]}}""", 8, "do not match its size" },
        { """{"a":{"dtype":"F32","shape":[99999999999],"data_offsets":[0,8]}}""", 8, "header is damaged" },
        { """{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", 8, "dimension -2" },
        { """{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}""", 2, "type 'F8_E4M3', which is not supported" },
        { """{"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}}""", 8, "header is damaged" },
        { """{"a":{"shape":[2],"data_offsets":[0,8]}}""", 8, "header is damaged" },
        { """{"a":[1,2]}""", 0, "header is damaged" },
        { """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", 8, "describes 'a' twice" },
        { """{"__metadata__":{"k":7}}""", 0, "header is damaged" },
        { """{"__metadata__":[]}""", 0, "header is damaged" },
        { "[]", 0, "header is damaged" },
        { "{", 0, "too short" },
        { "{  ", 0, "header is damaged" },
        { "{\"a\":" + "[[[[[[[[[[[[[[[[[[[[" + "1" + "]]]]]]]]]]]]]]]]]]]]" + "}", 0, "header is damaged" },
    };

    [Theory]
    [MemberData(nameof(Golden))]
    public void Weights_come_back_bit_for_bit_with_their_description(string name)
    {
        var state = GoldenNetworks.TrainingState(name);
        var description = new ModelDescription(
            GoldenNetworks.All[name], 3, 48, 40, new Normalization([1.5f, 2, 3], [0.1f, 0.2f, 0.3f]), ["a", "ü", "\""]);
        using var stream = new MemoryStream();
        SafetensorsWriter.Write(state, stream, description);
        stream.Position = 0;
        PthRoundTripTests.AssertSame(state, SafetensorsReader.Read(stream));
        stream.Position = 0;
        var read = SafetensorsReader.ReadDescription(stream)!;
        Assert.Equal(description.Architecture, read.Architecture);
        Assert.Equal((3, 48, 40), (read.Classes, read.ImageHeight, read.ImageWidth));
        Assert.Equal(description.Normalization.Mean.ToArray(), read.Normalization.Mean.ToArray());
        Assert.Equal(description.Normalization.Scale.ToArray(), read.Normalization.Scale.ToArray());
        Assert.Equal(description.ClassLabels.ToArray(), read.ClassLabels.ToArray());
    }

    /// <summary>Put together by hand from the format's specification: another order of values, half types, an integer scalar, padding.</summary>
    [Fact]
    public void A_file_of_another_program_is_read()
    {
        const string Header = """{"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[1,2],"data_offsets":[4,8]},"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"c.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}   """;
        byte[] values = [0x80, 0x3f, 0x20, 0xc0, 0x00, 0x3c, 0x00, 0xc1, 1, 0, 0, 0, 0, 0, 0, 0];
        var state = SafetensorsReader.Read(new MemoryStream(File(Header, values)));
        Assert.Equal(["b", "a"], state.Names);
        Assert.Equal([1f, -2.5f], state["a"].Values);
        Assert.Equal([1f, -2.5f], state["b"].Values);
        Assert.Equal([1, 2], state["b"].Shape);
        Assert.Null(SafetensorsReader.ReadDescription(new MemoryStream(File(Header, values))));
    }

    [Theory]
    [InlineData("F64", new byte[] { 0, 0, 0, 0, 0, 0, 0x04, 0xc0 }, -2.5f)]
    [InlineData("F32", new byte[] { 0, 0, 0x20, 0xc0 }, -2.5f)]
    [InlineData("I64", new byte[] { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, -2f)]
    [InlineData("I32", new byte[] { 0xfe, 0xff, 0xff, 0xff }, -2f)]
    [InlineData("I16", new byte[] { 0xfe, 0xff }, -2f)]
    [InlineData("I8", new byte[] { 0xfe }, -2f)]
    [InlineData("U8", new byte[] { 0xfe }, 254f)]
    [InlineData("BOOL", new byte[] { 1 }, 1f)]
    public void Every_type_is_converted(string type, byte[] bytes, float expected)
    {
        string header = "{\"a\":{\"dtype\":\"" + type + "\",\"shape\":[],\"data_offsets\":[0," + bytes.Length + "]}}";
        Assert.Equal(expected, Assert.Single(SafetensorsReader.Read(new MemoryStream(File(header, bytes)))["a"].Values));
    }

    [Fact]
    public void An_integer_that_is_no_float_is_refused()
    {
        byte[] file = File("""{"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}""", [1, 0, 0, 1, 0, 0, 0, 1]);
        Assert.Contains("'a' holds integers", Assert.Throws<InvalidDataException>(() => SafetensorsReader.Read(new MemoryStream(file))).Message);
    }

    [Fact]
    public void A_stream_that_is_not_at_its_start_is_read_from_there()
    {
        byte[] file = File("""{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}""", [9]);
        using var stream = new MemoryStream([1, 2, 3, .. file]) { Position = 3 };
        Assert.Equal([9f], SafetensorsReader.Read(stream)["a"].Values);
    }

    [Theory]
    [MemberData(nameof(Crafted))]
    public void A_crafted_file_is_refused(string header, int bytes, string expected)
    {
        byte[] file = File(header, new byte[bytes]);
        string message = Assert.Throws<InvalidDataException>(() => SafetensorsReader.Read(new MemoryStream(file))).Message;
        Assert.StartsWith("The stream is not a readable safetensors file: ", message);
        Assert.Contains(expected, message);
    }

    [Fact]
    public void A_header_longer_than_the_file_is_refused_without_room_being_made()
    {
        byte[] file = File("{}", []);
        BinaryPrimitives.WriteUInt64LittleEndian(file, ulong.MaxValue);
        Assert.Contains("longer than the file", Assert.Throws<InvalidDataException>(() => SafetensorsReader.Read(new MemoryStream(file))).Message);
    }

    [Fact]
    public void A_truncated_file_is_refused_wherever_it_ends()
    {
        using var stream = new MemoryStream();
        SafetensorsWriter.Write(new StateDict { ["a"] = TensorData.Zeros(3, 5), ["b"] = TensorData.Zeros(2) }, stream);
        byte[] file = stream.ToArray();
        for (int length = 0; length < file.Length; length++)
        {
            byte[] part = file[..length];
            Assert.Throws<InvalidDataException>(() => SafetensorsReader.Read(new MemoryStream(part)));
        }
    }

    [Fact]
    public void Files_are_mapped_and_let_go()
    {
        using var folder = new TemporaryFolder();
        string path = Path.Combine(folder.Path, "weights.safetensors");
        var state = GoldenNetworks.TrainingState("tiny");
        SafetensorsWriter.Write(state, path);
        PthRoundTripTests.AssertSame(state, SafetensorsReader.Read(path));
        Assert.Null(SafetensorsReader.ReadDescription(path));
        System.IO.File.WriteAllBytes(path, []);
        Assert.Contains($"'{path}'", Assert.Throws<InvalidDataException>(() => SafetensorsReader.Read(path)).Message);
        Assert.Throws<FileNotFoundException>(() => SafetensorsReader.Read(path + "x"));
    }

    private static byte[] File(string header, byte[] values)
    {
        byte[] text = Encoding.UTF8.GetBytes(header);
        byte[] length = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(length, text.Length);
        return [.. length, .. text, .. values];
    }
}

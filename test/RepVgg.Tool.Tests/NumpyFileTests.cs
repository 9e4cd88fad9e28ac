extern alias tool;

using System.Text;
using RepVgg.Tool.Weights;
using RepVgg.Testing;
using RepVgg.Weights;
using Xunit;
using NumpyFile = tool::RepVgg.Tool.Weights.NumpyFile;

namespace RepVgg.Tool.Tests;

public sealed class NumpyFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Values_of_every_type_are_read_as_NumPys_format_describes_them()
    {
        var bytes = NumpyFile.Read(File("|u1", "(2, 2)", [0, 1, 128, 255]));
        Assert.Equal([2, 2], bytes.Shape);
        Assert.Equal([0f, 1f, 128f, 255f], bytes.Values);

        var floats = NumpyFile.Read(File("<f4", "(2,)", [0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]));
        Assert.Equal([2], floats.Shape);
        Assert.Equal([1f, -2.5f], floats.Values);

        var (shape, longs) = NumpyFile.ReadInt64(File("<i8", "()", [0xfe, 255, 255, 255, 255, 255, 255, 255]));
        Assert.Empty(shape);
        Assert.Equal([-2L], longs);
    }

    [Fact]
    public void A_header_of_format_version_2_is_read()
    {
        byte[] header = Encoding.ASCII.GetBytes("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n");
        string path = _folder.Write("long.npy", [0x93, .. "NUMPY"u8, 2, 0, (byte)header.Length, 0, 0, 0, .. header, 7, 8, 9]);
        Assert.Equal([7f, 8f, 9f], NumpyFile.Read(path).Values);
    }

    [Theory]
    [InlineData("<f8", "False", 8)]
    [InlineData(">f4", "False", 4)]
    [InlineData("<i8", "False", 8)]
    [InlineData("<f4", "True", 4)]
    public void Another_type_or_order_is_an_error_that_says_what_to_write(string type, string isFortran, int size)
    {
        string path = File(type, "(1,)", new byte[size], isFortran);
        string message = Assert.Throws<InvalidDataException>(() => NumpyFile.Read(path)).Message;
        Assert.Contains(path, message);
        Assert.Contains("must hold float32 or uint8 values in row-major order", message);
        Assert.Contains("numpy.float32", message);
    }

    [Fact]
    public void What_is_written_is_read_again()
    {
        string path = _folder.File("array.npy");
        var array = new TensorData([1, 3, 2], [1, -2, float.Epsilon, float.PositiveInfinity, 0, 5e-8f]);
        NumpyFile.Write(path, array);
        Assert.Equal(array.Shape, NumpyFile.Read(path).Shape);
        Assert.Equal(array.Values, NumpyFile.Read(path).Values);
    }

    [Theory]
    [InlineData("dimension-beyond-32-bits.npy", "its shape (99999999999,) has a dimension that is not a number up to 2147483647")]
    [InlineData("no-number.npy", "its shape (1 2,) has a dimension that is not a number up to 2147483647")]
    [InlineData("product-beyond-64-bits.npy", "0 bytes do not make an array of (2000000000, 2000000000, 2000000000)")]
    public void Shapes_that_no_array_has_are_refused_by_the_name_of_the_file(string name, string expected)
    {
        string path = GoldenFiles.PathOf(Path.Combine("hostile", name)), message = Refusal(path);
        Assert.Contains(expected, message);
        Assert.Contains(path, message);
    }

    [Theory]
    [InlineData("(99999999999999999999999999,)")]
    [InlineData("(4294967297,)")]
    [InlineData("(2147483647, 2147483647, 2147483647, 2147483647, 2147483647)")]
    [InlineData("(0, 3)")]
    [InlineData("(1 0,)")]
    [InlineData("(-1,)")]
    [InlineData("(+1,)")]
    [InlineData("(1.0,)")]
    [InlineData("(0x1,)")]
    [InlineData("(\u0661,)")]
    [InlineData("(1_0,)")]
    [InlineData("(True,)")]
    [InlineData("(1,")]
    [InlineData("1")]
    [InlineData("None")]
    [InlineData("(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)")]
    public void Hostile_shapes_are_refused(string shape) => Assert.Contains(_folder.Path, Refusal(File("<f4", shape, new byte[4])));

    [Theory]
    [InlineData(0, 20)]
    [InlineData(4, 20)]
    [InlineData(255, 20)]
    [InlineData(1, 200)]
    [InlineData(1, 65_535)]
    [InlineData(2, uint.MaxValue)]
    [InlineData(3, 1 << 20)]
    public void Hostile_headers_are_refused(byte version, uint length)
    {
        byte[] header = Encoding.ASCII.GetBytes("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n");
        byte[] size = version > 1 ? BitConverter.GetBytes(length) : BitConverter.GetBytes((ushort)length);
        Assert.Contains(_folder.Path, Refusal(_folder.Write("array.npy", [0x93, .. "NUMPY"u8, version, 0, .. size, .. header, 7, 8, 9])));
    }

    [Fact]
    public void Headers_without_an_order_are_refused()
    {
        byte[] header = Encoding.ASCII.GetBytes("{'descr': '|u1', 'fortran_order': 1, 'shape': (3,), }\n");
        Assert.Contains("row-major order", Refusal(_folder.Write("array.npy", [0x93, .. "NUMPY"u8, 1, 0, (byte)header.Length, 0, .. header, 7, 8, 9])));
    }

    [Fact]
    public void A_damaged_file_gives_an_array_or_one_error()
    {
        byte[] file = System.IO.File.ReadAllBytes(File("<f4", "(2, 3)", new byte[24]));
        var random = new Random(3);
        for (int i = 0; i < 2000; i++)
        {
            byte[] damaged = (byte[])file.Clone();
            for (int changes = random.Next(1, 4); changes > 0; changes--)
                damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            string path = _folder.Write("damaged.npy", damaged[..random.Next(damaged.Length / 2, damaged.Length + 1)]);
            try
            {
                NumpyFile.Read(path);
            }
            catch (InvalidDataException error)
            {
                Assert.Contains(path, error.Message);
            }
        }
    }

    private static string Refusal(string path) => Assert.Throws<InvalidDataException>(() => NumpyFile.Read(path)).Message;

    private string File(string type, string shape, byte[] values, string isFortran = "False")
    {
        byte[] header = Encoding.ASCII.GetBytes($"{{'descr': '{type}', 'fortran_order': {isFortran}, 'shape': {shape}, }}\n");
        return _folder.Write("array.npy", [0x93, .. "NUMPY"u8, 1, 0, (byte)header.Length, 0, .. header, .. values]);
    }
}

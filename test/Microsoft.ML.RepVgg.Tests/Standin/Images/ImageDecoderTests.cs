#if MLNET_STANDIN
using System.Buffers.Binary;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.MLNet.Contract;
using Microsoft.ML.Standin.Images;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Standin.Images;

/// <summary>The stand-in's own decoders: every sample to the last bit, and every kind of damage refused.</summary>
public sealed class ImageDecoderTests
{
    public static TheoryData<string> Samples() => new(SampleImages.Names("").Where(name => name.Contains('-')));

    [Theory]
    [MemberData(nameof(Samples))]
    public void AgreesWithOtherDecodersToTheLastBit(string name)
    {
        DecodedImage image = ImageDecoder.Decode(SampleImages.Read(name));

        Assert.Equal(SampleImages.Size(name), (image.Width, image.Height));
        Assert.Equal(SampleImages.ExpectedBgra(name), image.Pixels);
        Assert.True(!image.Opaque || image.Pixels.Where((_, i) => i % 4 == 3).All(alpha => alpha == 255));
    }

    [Theory]
    [MemberData(nameof(Samples))]
    public void RefusesFilesThatAreCutShort(string name)
    {
        byte[] file = SampleImages.Read(name);

        // What ends just before the end marker is whole, unless more scans could have come.
        int least = name.StartsWith("jpeg") && !name.Contains("progressive") ? file.Length - 3 : file.Length - 1;
        for (int length = 0; length < least; length += 1 + length / 9)
            AssertRefused(file[..length]);
        AssertRefused(file[..(least - 1)]);
    }

    [Theory]
    [MemberData(nameof(Samples))]
    public void DamageNeverCausesAnythingElseThanARefusal(string name)
    {
        byte[] file = SampleImages.Read(name);
        var random = new Random(name.Length);
        for (int run = 0; run < 150; run++)
        {
            var damaged = (byte[])file.Clone();
            for (int k = random.Next(1, 5); k > 0; k--)
                damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            if (name.StartsWith("png"))
                RepairChecksums(damaged);

            DecodedImage? image = ImageDecoder.TryDecode(damaged);
            Assert.True(image is null || image.Pixels.Length == 4 * image.Width * image.Height);
        }
    }

    [Theory]
    [InlineData("png-rgb.png")]
    [InlineData("png-palette4.png")]
    public void RefusesWrongChecksums(string name)
    {
        byte[] file = SampleImages.Read(name);
        file[^30] ^= 1;

        AssertRefused(file);
    }

    [Fact]
    public void ASmallFileCannotClaimAHugeImage()
    {
        byte[] png = SampleImages.Read("png-rgb.png");
        foreach (int side in (int[])[10_000, 30_000, 1_000_000, int.MaxValue, -1])
        {
            BinaryPrimitives.WriteInt32BigEndian(png.AsSpan(16), side);
            BinaryPrimitives.WriteInt32BigEndian(png.AsSpan(20), side);
            RepairChecksums(png);
            AssertRefusedWithoutMemory(png);
        }

        byte[] jpeg = SampleImages.Read("jpeg-420.jpg");
        int frame = jpeg.AsSpan().IndexOf((ReadOnlySpan<byte>)[0xFF, 0xC0]);
        foreach (int side in (int[])[2_000, 11_000, 65_535])
        {
            BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 5), (ushort)side);
            BinaryPrimitives.WriteUInt16BigEndian(jpeg.AsSpan(frame + 7), (ushort)side);
            AssertRefusedWithoutMemory(jpeg);
        }

        byte[] bmp = SampleImages.Read("bmp-rgb.bmp");
        BinaryPrimitives.WriteInt32LittleEndian(bmp.AsSpan(18), 11_000);
        BinaryPrimitives.WriteInt32LittleEndian(bmp.AsSpan(22), 11_000);
        AssertRefusedWithoutMemory(bmp);
    }

    [Fact]
    public void ASmallFileCannotRepeatScansForEver()
    {
        byte[] file = SampleImages.Read("jpeg-progressive-gray.jpg");
        int start = file.AsSpan().IndexOf((ReadOnlySpan<byte>)[0xFF, 0xDA]);
        int end = start + 2 + file.AsSpan(start + 2).IndexOf((ReadOnlySpan<byte>)[0xFF, 0xC4]);
        byte[] scan = file[start..end];
        IEnumerable<byte> many = file[..start];
        for (int i = 0; i < 200; i++)
            many = many.Concat(scan);

        AssertRefused([.. many, 0xFF, 0xD9]);
    }

    [Fact]
    public void AStreamThatIsNoImageIsNotReadToItsEnd()
    {
        var endless = new EndlessStream();

        Assert.Throws<ArgumentException>("imageStream", () => MLImage.CreateFromStream(endless));
        Assert.InRange(endless.BytesRead, 1, 100_000);
    }

    private static void AssertRefused(byte[] file) => Assert.Null(ImageDecoder.TryDecode(file));

    private static void AssertRefusedWithoutMemory(byte[] file)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        AssertRefused(file);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 << 20);
    }

    private static void RepairChecksums(byte[] png)
    {
        for (int at = 8; at + 12 <= png.Length;)
        {
            uint length = BinaryPrimitives.ReadUInt32BigEndian(png.AsSpan(at));
            if (length > png.Length - at - 12)
                return;
            uint crc = Crc32.Compute(png.AsSpan(at + 4, 4 + (int)length));
            BinaryPrimitives.WriteUInt32BigEndian(png.AsSpan(at + 8 + (int)length), crc);
            at += 12 + (int)length;
        }
    }

    private sealed class EndlessStream : MemoryStream
    {
        public long BytesRead { get; private set; }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer)
        {
            buffer.Fill(7);
            BytesRead += buffer.Length;
            return buffer.Length;
        }
    }
}
#endif

using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Support;
using Microsoft.ML.Transforms.Image;
using Xunit;
using static Microsoft.ML.Transforms.Image.ImagePixelExtractingEstimator;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>The transforms of images: loading, extracting pixels, gray, vectors, saving and loading models.</summary>
public sealed class ImageTransformTests
{
    private readonly MLContext _context = new(1);

    [Fact]
    public void LoadsResizesAndExtracts()
    {
        IDataView data = Files("jpeg-444.jpg", "png-rgb.png", "jpeg-gray.jpg");
        var pipeline = _context.Transforms.LoadImages("Image", SampleImages.Folder, nameof(FileRow.Path))
            .Append(_context.Transforms.ResizeImages("Image", 16, 8))
            .Append(_context.Transforms.ExtractPixels("Pixels", "Image"));

        IDataView output = pipeline.Fit(data).Transform(data);

        Assert.Equal(new ImageDataViewType(8, 16), output.Schema["Image"].Type);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Single, 3, 8, 16), output.Schema["Pixels"].Type);
        float[][] rows = Rows<float>(output);
        Assert.Equal(3, rows.Length);
        Assert.All(rows, row => Assert.All(row, value => Assert.InRange(value, 0, 255)));
        Assert.Equal(rows[2][..128], rows[2][128..256]);
        Assert.NotEqual(rows[0][..128], rows[0][128..256]);
    }

    [Fact]
    public void LoadsImagesWithTheirPathAsTag()
    {
        IDataView output = Load("png-rgb.png", "jpeg-420.jpg");

        Assert.Equal(new ImageDataViewType(), output.Schema["Image"].Type);
        Assert.Equal("Image", output.Schema["Image"].Type.ToString());
        using DataViewRowCursor cursor = output.GetRowCursor(output.Schema);
        var getter = cursor.GetGetter<MLImage>(output.Schema["Image"]);
        MLImage image = null!;
        Assert.True(cursor.MoveNext());
        getter(ref image);
        Assert.Equal((21, 13, SampleImages.PathOf("png-rgb.png")), (image.Width, image.Height, image.Tag));
        Assert.True(cursor.MoveNext());
        getter(ref image);
        Assert.Equal((35, 27, SampleImages.PathOf("jpeg-420.jpg")), (image.Width, image.Height, image.Tag));
    }

    [Fact]
    public void LoadsTheBytesOfFiles()
    {
        IDataView data = Files("png-rgb.png", "jpeg-420.jpg");
        IDataView output = _context.Transforms.LoadRawImageBytes("Bytes", SampleImages.Folder, nameof(FileRow.Path)).Fit(data).Transform(data);

        Assert.Equal(new VectorDataViewType(NumberDataViewType.Byte), output.Schema["Bytes"].Type);
        byte[][] rows = Rows<byte>(output, "Bytes");
        Assert.Equal(SampleImages.Read("png-rgb.png"), rows[0]);
        Assert.Equal(SampleImages.Read("jpeg-420.jpg"), rows[1]);
    }

    [Fact]
    public void NamesWhatCannotBeLoaded()
    {
        Assert.Throws<ArgumentException>(() => _context.Transforms.LoadImages("Image", Path.Combine(SampleImages.Folder, "missing"), "Path"));
        Assert.Contains("missing.jpg", Failure<FileNotFoundException>(() => ReadAll(Load("png-rgb.png", "missing.jpg"))).Message);
        Assert.Equal("imageStream", Failure<ArgumentException>(() => ReadAll(Load("make.py"))).ParamName);
    }

    [Fact]
    public void AnEmptyPathIsAMissingImage()
    {
        IDataView data = Files("");
        IDataView output = _context.Transforms.LoadImages("Image", SampleImages.Folder, nameof(FileRow.Path))
            .Append(_context.Transforms.ResizeImages("Image", 2, 2))
            .Append(_context.Transforms.ExtractPixels("Pixels", "Image"))
            .Fit(data).Transform(data);

        Assert.Equal(new float[12], Assert.Single(Rows<float>(output)));
    }

    public static TheoryData<ColorBits, ColorsOrder, bool, float[]> Layouts() => new()
    {
        { ColorBits.Rgb, ColorsOrder.ARGB, false, [1, 4, 2, 5, 3, 6] },
        { ColorBits.Rgb, ColorsOrder.ARGB, true, [1, 2, 3, 4, 5, 6] },
        { ColorBits.Rgb, ColorsOrder.ABGR, true, [3, 2, 1, 6, 5, 4] },
        { ColorBits.Rgb, ColorsOrder.AGRB, false, [2, 5, 1, 4, 3, 6] },
        { ColorBits.All, ColorsOrder.ARBG, true, [255, 1, 3, 2, 255, 4, 6, 5] },
        { ColorBits.All, ColorsOrder.ABRG, false, [255, 255, 3, 6, 1, 4, 2, 5] },
        { ColorBits.Green, ColorsOrder.AGBR, false, [2, 5] },
        { ColorBits.Red | ColorBits.Blue, ColorsOrder.AGBR, true, [3, 1, 6, 4] },
    };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void ExtractsTheChosenChannels(ColorBits colors, ColorsOrder order, bool interleaved, float[] expected)
    {
        foreach (MLPixelFormat format in (MLPixelFormat[])[MLPixelFormat.Rgba32, MLPixelFormat.Bgra32])
        {
            byte[] pixels = format == MLPixelFormat.Rgba32 ? [1, 2, 3, 255, 4, 5, 6, 255] : [3, 2, 1, 255, 6, 5, 4, 255];
            IDataView data = Pairs(MLImage.CreateFromPixels(2, 1, format, pixels));

            IDataView floats = _context.Transforms.ExtractPixels("Pixels", "Image", colors, order, interleaved).Fit(data).Transform(data);
            Assert.Equal(expected, Assert.Single(Rows<float>(floats)));
            int planes = expected.Length / 2;
            Assert.Equal(
                interleaved ? [1, 2, planes] : new[] { planes, 1, 2 },
                ((VectorDataViewType)floats.Schema["Pixels"].Type).Dimensions);
        }
    }

    [Fact]
    public void ScalesFloatsAndNotBytes()
    {
        IDataView Data() => Pairs(MLImage.CreateFromPixels(2, 1, MLPixelFormat.Rgba32, [0, 100, 255, 255, 4, 5, 6, 255]));
        IDataView data = Data();
        IDataView floats = _context.Transforms.ExtractPixels("Pixels", "Image", offsetImage: 100, scaleImage: 0.5f).Fit(data).Transform(data);
        Assert.Equal([-50, -48, 0, -47.5f, 77.5f, -47], Assert.Single(Rows<float>(floats)));

        data = Data();
        IDataView bytes = _context.Transforms
            .ExtractPixels("Pixels", "Image", offsetImage: 100, scaleImage: 0.5f, outputAsFloatArray: false).Fit(data).Transform(data);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Byte, 3, 1, 2), bytes.Schema["Pixels"].Type);
        Assert.Equal([0, 4, 100, 5, 255, 6], Assert.Single(Rows<byte>(bytes)));
    }

    [Fact]
    public void MakesImagesGray()
    {
        IDataView data = Pairs(MLImage.CreateFromPixels(2, 1, MLPixelFormat.Rgba32, [200, 100, 50, 255, 255, 255, 255, 255]));
        IDataView output = _context.Transforms.ConvertToGrayscale("Gray", "Image")
            .Append(_context.Transforms.ExtractPixels("Pixels", "Gray", interleavePixelColors: true)).Fit(data).Transform(data);

        float[] row = Assert.Single(Rows<float>(output));
        Assert.All(row[..3], value => Assert.InRange(value, 123, 126));
        Assert.All(row[3..], value => Assert.InRange(value, 254, 255));
        Assert.Equal(new ImageDataViewType(1, 2), output.Schema["Gray"].Type);
    }

    [Fact]
    public void MakesImagesFromVectors()
    {
        IDataView data = _context.Data.LoadFromEnumerable([new VectorRow { Values = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] }]);
        IDataView output = _context.Transforms.ConvertToImage(2, 2, "Image", nameof(VectorRow.Values))
            .Append(_context.Transforms.ExtractPixels("Pixels", "Image")).Fit(data).Transform(data);

        Assert.Equal(new ImageDataViewType(2, 2), output.Schema["Image"].Type);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], Assert.Single(Rows<float>(output)));
    }

    [Fact]
    public void RefusesColumnsThatDoNotFit()
    {
        IDataView data = Load("png-rgb.png");
        string Message(Func<object> action) => Assert.Throws<ArgumentOutOfRangeException>(action).Message;

        Assert.Contains("known-size", Message(() => _context.Transforms.ExtractPixels("Pixels", "Image").Fit(data)));
        Assert.Contains("'Path'", Message(() => _context.Transforms.ResizeImages("Out", 2, 2, "Path").Fit(data)));
        Assert.Contains("'None'", Message(() => _context.Transforms.ResizeImages("Out", 2, 2, "None").Fit(data)));
        Assert.Contains("'Image'", Message(() => _context.Transforms.LoadImages("Out", SampleImages.Folder, "Image").Fit(data)));
        Message(() => _context.Transforms.ResizeImages("Out", 0, 2, "Image"));
        Message(() => _context.Transforms.ExtractPixels("Out", "Image", colorsToExtract: 0));
        Message(() => _context.Transforms.ExtractPixels("Out", "Image", scaleImage: 0));
        Message(() => new ImageDataViewType(0, 3));
    }

    [Fact]
    public void SavedModelsDoTheSame()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("model.zip");
        IDataView data = Files("jpeg-422.jpg", "png-rgb.png");
        var model = _context.Transforms.LoadImages("Image", SampleImages.Folder, nameof(FileRow.Path))
            .Append(_context.Transforms.ConvertToGrayscale("Image"))
            .Append(_context.Transforms.ResizeImages("Image", 7, 9, resizing: ImageResizingEstimator.ResizingKind.IsoPad))
            .Append(_context.Transforms.ExtractPixels("Pixels", "Image", ColorBits.All, ColorsOrder.ABGR, true, 128, 1 / 64f))
            .Append(_context.Transforms.ConvertToImage(9, 7, "Back", "Pixels", ColorBits.All, ColorsOrder.ABGR, true, 64, -128))
            .Append(_context.Transforms.ExtractPixels("Pixels", "Back", outputAsFloatArray: false))
            .Fit(data);
        byte[][] expected = Rows<byte>(model.Transform(data));

        _context.Model.Save(model, data.Schema, path);
        ITransformer loaded = new MLContext().Model.Load(path, out _);
        IDataView output = loaded.Transform(data);

        Assert.Equal(model.GetOutputSchema(data.Schema)["Pixels"].Type, output.Schema["Pixels"].Type);
        byte[][] actual = Rows<byte>(output);
        Assert.Equal(expected, actual);
        Assert.Contains(actual[0], value => value > 0);
    }

    [Fact]
    public void PredictsFromAnImageInMemory()
    {
        byte[] pixels = [.. Enumerable.Range(0, 4 * 4 * 4).Select(i => (byte)(i % 4 == 3 ? 255 : 100))];
        IDataView empty = _context.Data.LoadFromEnumerable(new List<SquareRow>());
        var model = _context.Transforms.ResizeImages("Image", 2, 2)
            .Append(_context.Transforms.ExtractPixels("Pixels", "Image")).Fit(empty);
        using var engine = _context.Model.CreatePredictionEngine<SquareRow, PixelsRow>(model);

        for (int i = 0; i < 3; i++)
        {
            float[] values = engine.Predict(new SquareRow { Image = MLImage.CreateFromPixels(4, 4, MLPixelFormat.Bgra32, pixels) }).Pixels;
            Assert.Equal(12, values.Length);
            Assert.All(values, value => Assert.InRange(value, 99, 101));
        }
    }

    private static void ReadAll(IDataView view)
    {
        using DataViewRowCursor cursor = view.GetRowCursor(view.Schema);
        var getter = cursor.GetGetter<MLImage>(view.Schema["Image"]);
        MLImage image = null!;
        while (cursor.MoveNext())
            getter(ref image);
    }

    /// <summary>The error of the given type, or the one inside what ML.NET wraps around errors on other threads.</summary>
    private static T Failure<T>(Action action)
        where T : Exception
    {
        Exception? error = Assert.ThrowsAny<Exception>(action);
        while (error is not null and not T)
            error = error.InnerException;
        return Assert.IsAssignableFrom<T>(error);
    }

    private static T[][] Rows<T>(IDataView view, string column = "Pixels") =>
        [.. view.GetColumn<VBuffer<T>>(column).Select(row => row.DenseValues().ToArray())];

    private IDataView Files(params string[] names) =>
        _context.Data.LoadFromEnumerable(names.Select(name => new FileRow { Path = name }));

    private IDataView Load(params string[] names)
    {
        IDataView data = Files(names);
        return _context.Transforms.LoadImages("Image", SampleImages.Folder, nameof(FileRow.Path)).Fit(data).Transform(data);
    }

    private IDataView Pairs(params MLImage[] images) =>
        _context.Data.LoadFromEnumerable(images.Select(image => new PairRow { Image = image }));

    private sealed class FileRow
    {
        public string Path { get; set; } = "";
    }

    private sealed class PairRow
    {
        [ImageType(1, 2)]
        public MLImage Image { get; set; } = null!;
    }

    private sealed class SquareRow
    {
        [ImageType(4, 4)]
        public MLImage Image { get; set; } = null!;
    }

    private sealed class VectorRow
    {
        [VectorType(12)]
        public float[] Values { get; set; } = [];
    }

    private sealed class PixelsRow
    {
        public float[] Pixels { get; set; } = [];
    }
}

using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Testing;
using Xunit;
using Source = Microsoft.ML.RepVgg.Input.ImageFiles;

namespace Microsoft.ML.RepVgg.Tests.Images;

/// <summary>Files are read by this library if, and only if, the image column is exactly what LoadImages or LoadRawImageBytes makes of a column of paths.</summary>
public sealed class ImageSourceTests : IDisposable
{
    private readonly MLContext _context = new(seed: 1);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private sealed class Row
    {
        public string Path { get; set; } = "";

        public string Other { get; set; } = "";

        public string Label { get; set; } = "";

        public float Number { get; set; }
    }

    private sealed class Doubled
    {
        public float Twice { get; set; }
    }

    private TransformsCatalog Transforms => _context.Transforms;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Files_are_the_source_of_a_loaded_column(bool asBytes)
    {
        var load = Load("Image", asBytes);
        Assert.True(AreSource(load));
        Assert.True(AreSource(Transforms.Conversion.MapValueToKey("Label").Append(load).Append(Transforms.Conversion.MapKeyToValue("Label"))));
        Assert.True(AreSource(load.Append(Transforms.CopyColumns("Copy", "Path"))));
        Assert.True(AreSource(load.Append(Transforms.CustomMapping<Row, Doubled>((row, doubled) => doubled.Twice = 2 * row.Number, contractName: null))));

        var loaded = load.Fit(Data()).Transform(Data());
        Assert.True(Source.Find(_context.Data.TakeRows(loaded, 2), "Image").AreSource);
        Assert.True(Source.Find(_context.Data.TrainTestSplit(loaded, 0.3).TrainSet, "Image").AreSource);
        // ShuffleRows removes columns of images.
        if (asBytes)
            Assert.True(Source.Find(_context.Data.ShuffleRows(loaded), "Image").AreSource);
        Assert.True(Source.Find(_context.Data.FilterRowsByColumn(loaded, "Number", lowerBound: 1), "Image").AreSource);
    }

    [Fact]
    public void Files_are_not_the_source_of_a_changed_column()
    {
        var load = Load("Image", asBytes: false);
        Assert.False(AreSource(load.Append(Transforms.ResizeImages("Image", 6, 6))));
        Assert.False(AreSource(load.Append(Transforms.ConvertToGrayscale("Image"))));
        Assert.False(AreSource(Load("Loaded", asBytes: false).Append(Transforms.CopyColumns("Image", "Loaded"))));
        // The step is found, for messages, but the column of paths is not the one that it read.
        Assert.False(AreSource(load.Append(Transforms.CopyColumns("Path", "Other"))));
        Assert.False(AreSource(Load("Path", asBytes: false), "Path"));
        Assert.False(AreSource(load.Append(Transforms.DropColumns("Path"))));
    }

    [Fact]
    public void Images_are_read_where_the_column_of_paths_was_replaced()
    {
        var load = Load("Image", asBytes: false);
        using var direct = Train(load);
        using var replaced = load.Append(Transforms.CopyColumns("Path", "Other")).Append(Stripes.Pipeline(_context, Options())).Fit(Data());
        float[][] expected = Scores(direct.Transform(Data()));
        Assert.NotEqual(expected[0], expected[1]);
        Assert.Equal(expected, Scores(replaced.Transform(Data())));

        // The batch of paths gives what each image gives by itself.
        for (int i = 0; i < expected.Length; i++)
        {
            using var image = MLImage.CreateFromFile(_folder.File($"{i}.png"));
            var one = _context.Data.LoadFromEnumerable([new OneImage { Image = image }]);
            Assert.Equal(expected[i], Scores(direct.LastTransformer.LastTransformer.Transform(one))[0]);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_file_is_read_while_its_row_is_current(bool asBytes)
    {
        using var model = Train(Load("Image", asBytes));
        var rows = Rows();
        float[][] expected = Scores(model.Transform(Data()));
        Assert.Equal(expected, Scores(model.Transform(_context.Data.LoadFromEnumerable(Overwritten()))));

        // As a camera that writes each picture to the same file.
        IEnumerable<Row> Overwritten()
        {
            foreach (var row in rows)
            {
                File.Copy(_folder.File(row.Path), _folder.File("current.png"), overwrite: true);
                yield return new Row { Path = "current.png", Label = row.Label };
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_path_that_cannot_be_computed_makes_its_row_invalid(bool asBytes)
    {
        var options = Options();
        options.InvalidRows = InvalidRowHandling.Skip;
        var computed = Transforms.CustomMapping<Row, Computed>((row, path) => path.File = row.Number == 5 ? throw new FormatException("no path") : row.Path, contractName: null);
        var load = asBytes ? (IEstimator<ITransformer>)Transforms.LoadRawImageBytes("Image", _folder.Path, "File") : Transforms.LoadImages("Image", _folder.Path, "File");
        using var model = computed.Append(load).Append(Stripes.Pipeline(_context, options)).Fit(Data());
        Assert.Equal(1, model.LastTransformer.LastTransformer.SkippedTrainingRowCount);
    }

    [Fact]
    public void Views_of_other_libraries_may_change_images()
    {
        var load = Load("Image", asBytes: false);
        using var model = Train(load);
        var black = new BlackImages(load.Fit(Data()).Transform(Data()));
        Assert.False(Source.Find(black, "Image").AreSource);
        float[][] scores = Scores(model.LastTransformer.LastTransformer.Transform(black));
        Assert.All(scores, score => Assert.Equal(scores[0], score));
    }

    private sealed class Computed
    {
        public string File { get; set; } = "";
    }

    /// <summary>A view with the schema of its source whose images are black.</summary>
    private sealed class BlackImages(IDataView source) : IDataView
    {
        public IDataView Source => source;

        public DataViewSchema Schema => source.Schema;

        public bool CanShuffle => false;

        public long? GetRowCount() => source.GetRowCount();

        public DataViewRowCursor GetRowCursor(IEnumerable<DataViewSchema.Column> columnsNeeded, Random? rand = null) => new Cursor(source.GetRowCursor(columnsNeeded));

        public DataViewRowCursor[] GetRowCursorSet(IEnumerable<DataViewSchema.Column> columnsNeeded, int n, Random? rand = null) => [GetRowCursor(columnsNeeded)];

        private sealed class Cursor(DataViewRowCursor inner) : DataViewRowCursor
        {
            public override DataViewSchema Schema => inner.Schema;

            public override long Position => inner.Position;

            public override long Batch => inner.Batch;

            public override bool MoveNext() => inner.MoveNext();

            public override bool IsColumnActive(DataViewSchema.Column column) => inner.IsColumnActive(column);

            public override ValueGetter<DataViewRowId> GetIdGetter() => inner.GetIdGetter();

            public override ValueGetter<TValue> GetGetter<TValue>(DataViewSchema.Column column) => typeof(TValue) != typeof(MLImage) ? inner.GetGetter<TValue>(column)
                : (ref TValue value) => value = (TValue)(object)MLImage.CreateFromPixels(Stripes.Size, Stripes.Size, MLPixelFormat.Rgba32, new byte[4 * Stripes.Size * Stripes.Size]);
        }
    }

    private sealed class OneImage
    {
        [Microsoft.ML.Transforms.Image.ImageType(Stripes.Size, Stripes.Size)]
        public MLImage? Image { get; set; }
    }

    private static RepVggTrainer.Options Options()
    {
        var options = Stripes.Options(epochs: 1);
        (options.FeatureColumnName, options.ImageHeight, options.ImageWidth, options.ValidationSetFraction) = ("Image", Stripes.Size, Stripes.Size, 0);
        return options;
    }

    private TransformerChain<TransformerChain<RepVggTransformer>> Train(IEstimator<ITransformer> load) => load.Append(Stripes.Pipeline(_context, Options())).Fit(Data());

    private static float[][] Scores(IDataView scored) => [.. scored.GetColumn<float[]>("Score")];

    private IEstimator<ITransformer> Load(string output, bool asBytes) =>
        asBytes ? Transforms.LoadRawImageBytes(output, _folder.Path, "Path") : Transforms.LoadImages(output, _folder.Path, "Path");

    private bool AreSource(IEstimator<ITransformer> pipeline, string column = "Image") => Source.Find(pipeline.Fit(Data()).Transform(Data()), column).AreSource;

    /// <summary>Twelve rows; the column Other has the path of another row's file.</summary>
    private IDataView Data() => _context.Data.LoadFromEnumerable(Rows());

    private List<Row> Rows()
    {
        const int Count = 12;
        var random = new Random(3);
        var rows = Enumerable.Range(0, Count).Select(i => new Row { Path = $"{i}.png", Other = $"{(i + 1) % Count}.png", Label = Stripes.Names[i % 3], Number = i }).ToList();
        for (int i = 0; i < Count; i++)
        {
            float[] grey = Stripes.Image(i % 3, random);
            if (File.Exists(_folder.File(rows[i].Path)))
                continue;
            byte[] pixels = [.. grey.SelectMany(value => new[] { (byte)value, (byte)value, (byte)value, (byte)255 })];
            using var image = MLImage.CreateFromPixels(Stripes.Size, Stripes.Size, MLPixelFormat.Rgba32, pixels);
            image.Save(_folder.File(rows[i].Path));
        }
        return rows;
    }
}

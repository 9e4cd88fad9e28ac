using Microsoft.ML;
using Microsoft.ML.Data;
using RepVgg.Tool.Images;

namespace RepVgg.Tool.Classification;

/// <summary>Data views of labelled image files: columns ImagePath, Label (a key with the names of the classes) and the content of the files. The names of the columns are those of Model Builder.</summary>
internal sealed class ClassifierData
{
    public const string Label = "Label", Image = "ImageSource", ImagePath = nameof(ImageFileRow.ImagePath);

    private readonly MLContext _context;
    private readonly ITransformer _loading;
    private readonly SchemaDefinition _encodedSchema;
    private readonly CancellationToken _cancellation;

    /// <param name="context">Creates the views.</param>
    /// <param name="classes">Names of the classes, in the order of their keys.</param>
    /// <param name="cancellation">Checked before every row.</param>
    /// <param name="imageColumn">Name of the column with the content of the files.</param>
    public ClassifierData(MLContext context, IReadOnlyList<string> classes, CancellationToken cancellation, string imageColumn = Image)
    {
        _context = context;
        _cancellation = cancellation;
        var names = context.Data.LoadFromEnumerable(classes.Select(name => new ClassName { Name = name }));
        var rows = context.Data.LoadFromEnumerable(Array.Empty<ImageFileRow>());
        LabelMapping = context.Transforms.Conversion.MapValueToKey(Label, keyData: names).Fit(rows);
        _loading = context.Transforms.LoadRawImageBytes(imageColumn, "", ImagePath).Fit(rows);
        _encodedSchema = SchemaDefinition.Create(typeof(EncodedRow));
        _encodedSchema[nameof(EncodedRow.Content)].ColumnName = imageColumn;
    }

    /// <summary>The transformer of class names to keys, which are in the order of the classes.</summary>
    public ITransformer LabelMapping { get; }

    /// <summary>Creates the view of images.</summary>
    public IDataView Of(IReadOnlyList<ImageFileRow> files) => files.Any(file => file.Content is not null)
        ? LabelMapping.Transform(_context.Data.LoadFromEnumerable(new Rows<EncodedRow>(files, file => new EncodedRow { ImagePath = file.ImagePath, Label = file.Label, Content = file.Read() }, _cancellation), _encodedSchema))
        : _loading.Transform(LabelMapping.Transform(_context.Data.LoadFromEnumerable(new Rows<ImageFileRow>(files, file => file, _cancellation))));

    /// <summary>An image whose content is not in a file of its own.</summary>
    private sealed class EncodedRow
    {
        public string ImagePath { get; set; } = "";

        public string Label { get; set; } = "";

        public byte[] Content { get; set; } = [];
    }

    private sealed class ClassName
    {
        public string Name { get; set; } = "";
    }

    /// <summary>Rows whose number is known, and that stop when the command is interrupted.</summary>
    private sealed class Rows<T>(IReadOnlyList<ImageFileRow> files, Func<ImageFileRow, T> select, CancellationToken cancellation) : IReadOnlyCollection<T>
    {
        public int Count => files.Count;

        public IEnumerator<T> GetEnumerator()
        {
            foreach (var file in files)
            {
                cancellation.ThrowIfCancellationRequested();
                yield return select(file);
            }
        }

        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();
    }
}

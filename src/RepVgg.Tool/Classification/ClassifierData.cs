using Microsoft.ML;
using Microsoft.ML.Data;
using RepVgg.Tool.Images;

namespace RepVgg.Tool.Classification;

/// <summary>Data views of labelled images: columns ImagePath, Label (a key with the names of the classes) and the content of the files, which is read if the column is. The names of the columns are those of Model Builder.</summary>
internal sealed class ClassifierData
{
    public const string Label = nameof(ImageFileRow.Label), Image = "ImageSource", ImagePath = nameof(ImageFileRow.ImagePath);

    private readonly MLContext _context;
    private readonly SchemaDefinition _schema = SchemaDefinition.Create(typeof(ImageFileRow));
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
        _schema[nameof(ImageFileRow.Image)].ColumnName = imageColumn;
        LabelMapping = context.Transforms.Conversion.MapValueToKey(Label, keyData: names).Fit(context.Data.LoadFromEnumerable(Array.Empty<ImageFileRow>(), _schema));
    }

    /// <summary>The transformer of class names to keys, which are in the order of the classes.</summary>
    public ITransformer LabelMapping { get; }

    /// <summary>Creates the view of images.</summary>
    public IDataView Of(IReadOnlyList<ImageFileRow> files) => LabelMapping.Transform(_context.Data.LoadFromEnumerable(new Rows(files, _cancellation), _schema));

    private sealed class ClassName
    {
        public string Name { get; set; } = "";
    }

    /// <summary>Rows whose number is known, and that stop when the command is interrupted.</summary>
    private sealed class Rows(IReadOnlyList<ImageFileRow> files, CancellationToken cancellation) : IReadOnlyCollection<ImageFileRow>
    {
        public int Count => files.Count;

        public IEnumerator<ImageFileRow> GetEnumerator()
        {
            foreach (var file in files)
            {
                cancellation.ThrowIfCancellationRequested();
                yield return file;
            }
        }

        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();
    }
}

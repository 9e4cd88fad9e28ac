using Microsoft.ML;
using RepVgg.Tool.Images;

namespace RepVgg.Tool.Classification;

/// <summary>Data views of labelled image files: columns ImagePath, Label (a key with the names of the classes) and Image (the content of the files).</summary>
internal sealed class ClassifierData
{
    public const string Label = "Label", Image = "Image", ImagePath = nameof(ImageFileRow.ImagePath);

    private readonly MLContext _context;
    private readonly ITransformer _labels;
    private readonly ITransformer _loading;
    private readonly CancellationToken _cancellation;

    /// <param name="context">Creates the views.</param>
    /// <param name="classes">Names of the classes, in the order of their keys.</param>
    /// <param name="cancellation">Checked before every row.</param>
    public ClassifierData(MLContext context, IReadOnlyList<string> classes, CancellationToken cancellation)
    {
        _context = context;
        _cancellation = cancellation;
        var names = context.Data.LoadFromEnumerable(classes.Select(name => new ClassName { Name = name }));
        var rows = context.Data.LoadFromEnumerable(Array.Empty<ImageFileRow>());
        _labels = context.Transforms.Conversion.MapValueToKey(Label, keyData: names).Fit(rows);
        _loading = context.Transforms.LoadRawImageBytes(Image, "", ImagePath).Fit(rows);
    }

    /// <summary>Creates the view of images.</summary>
    public IDataView Of(IReadOnlyList<ImageFileRow> files) => files.Any(file => file.Content is not null)
        ? _labels.Transform(_context.Data.LoadFromEnumerable(new Rows<EncodedRow>(files, file => new EncodedRow { ImagePath = file.ImagePath, Label = file.Label, Image = file.Read() }, _cancellation)))
        : _loading.Transform(_labels.Transform(_context.Data.LoadFromEnumerable(new Rows<ImageFileRow>(files, file => file, _cancellation))));

    /// <summary>An image whose content is not in a file of its own.</summary>
    private sealed class EncodedRow
    {
        public string ImagePath { get; set; } = "";

        public string Label { get; set; } = "";

        public byte[] Image { get; set; } = [];
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

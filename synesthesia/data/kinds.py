"""The kinds of things that sound: what an ear may call each of them, and which classes of photos show it.

A kind is a label's worth of supervision and no more: it pairs any photo with any recording of the same name. No bridge
is given the name itself; it says which pairs are true and which judge's classes count as heard.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of thing that sounds.

    `heard`: the AudioSet classes that name it (any of them counts as heard). `near`: classes that a recording of it
    often wakes as well, so that they are no sign of a wrong label. `photos`: ImageNet class names whose pictures show
    what makes the sound. `procedural`: photos are absent or few, so `worlds` has to make pictures.
    """

    name: str
    heard: tuple[str, ...]
    near: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    procedural: bool = False


_WATER = ("Water", "Stream", "Liquid", "Gurgling", "Rain", "Waterfall", "Trickle, dribble", "Pour")
_ANIMAL = ("Animal", "Wild animals", "Domestic animals, pets", "Livestock, farm animals, working animals")
_BIRD = (*_ANIMAL, "Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet", "Fowl", "Whistling", "Whistle")
_ENGINE = ("Vehicle", "Engine", "Motor vehicle (road)", "Car", "Idling", "Accelerating, revving, vroom", "Motorcycle",
           "Light engine (high frequency)", "Medium engine (mid frequency)", "Truck", "Bus")  # fmt: skip
_MUSIC = ("Music", "Musical instrument", "Sound effect", "Percussion")

_DOGS = """
    Chihuahua Japanese_spaniel Maltese_dog Pekinese Shih-Tzu Blenheim_spaniel papillon toy_terrier Rhodesian_ridgeback
    Afghan_hound basset beagle bloodhound bluetick black-and-tan_coonhound Walker_hound English_foxhound redbone borzoi
    Irish_wolfhound Italian_greyhound whippet Ibizan_hound Norwegian_elkhound otterhound Saluki Scottish_deerhound
    Weimaraner Staffordshire_bullterrier American_Staffordshire_terrier Bedlington_terrier Border_terrier
    Kerry_blue_terrier Irish_terrier Norfolk_terrier Norwich_terrier Yorkshire_terrier wire-haired_fox_terrier
    Lakeland_terrier Sealyham_terrier Airedale cairn Australian_terrier Dandie_Dinmont Boston_bull miniature_schnauzer
    giant_schnauzer standard_schnauzer Scotch_terrier Tibetan_terrier silky_terrier soft-coated_wheaten_terrier
    West_Highland_white_terrier Lhasa flat-coated_retriever curly-coated_retriever golden_retriever Labrador_retriever
    Chesapeake_Bay_retriever German_short-haired_pointer vizsla English_setter Irish_setter Gordon_setter
    Brittany_spaniel clumber English_springer Welsh_springer_spaniel cocker_spaniel Sussex_spaniel Irish_water_spaniel
    kuvasz schipperke groenendael malinois briard kelpie komondor Old_English_sheepdog Shetland_sheepdog collie
    Border_collie Bouvier_des_Flandres Rottweiler German_shepherd Doberman miniature_pinscher
    Greater_Swiss_Mountain_dog Bernese_mountain_dog Appenzeller EntleBucher boxer bull_mastiff Tibetan_mastiff
    French_bulldog Great_Dane Saint_Bernard Eskimo_dog malamute Siberian_husky dalmatian affenpinscher basenji pug
    Leonberg Newfoundland Great_Pyrenees Samoyed Pomeranian chow keeshond Brabancon_griffon Pembroke Cardigan
    toy_poodle miniature_poodle standard_poodle Mexican_hairless dog
"""

_TABLE = (
    # --- nature ---
    Kind("sea", ("Ocean", "Waves, surf"), (*_WATER, "Wind", "Boat, Water vehicle", "Rowboat, canoe, kayak"),
         ("seashore", "sandbar", "promontory", "breakwater")),
    Kind("waterfall", ("Waterfall", "Gush", "Stream"), (*_WATER, "Ocean", "Waves, surf", "Pink noise"),
         ("fountain", "dam")),
    Kind("river", ("Stream", "Trickle, dribble", "Gurgling"), _WATER, procedural=True),
    Kind("rain", ("Rain", "Rain on surface", "Raindrop"), (*_WATER, "Thunderstorm", "Fire", "Patter"), procedural=True),
    Kind("thunder", ("Thunder", "Thunderstorm"), ("Rain", "Water", "Explosion", "Fireworks", "Rain on surface"),
         procedural=True),
    Kind("wind", ("Wind", "Wind noise (microphone)", "Rustling leaves", "Rustle"), (*_WATER, "Vehicle", "White noise"),
         procedural=True),
    Kind("fire", ("Fire", "Crackle", "Sizzle"), ("Rain", "Patter", "Bicycle", "Frying (food)", "Crumpling, crinkling",
         "Rain on surface", "Typing", "Eruption"), ("torch", "fire_screen"), procedural=True),
    # --- animals ---
    Kind("songbird", ("Bird vocalization, bird call, bird song", "Chirp, tweet", "Bird"), _BIRD,
         ("brambling", "goldfinch", "house_finch", "junco", "indigo_bunting", "robin", "bulbul", "chickadee",
          "water_ouzel", "jacamar", "bee_eater", "hummingbird", "bird", "jay", "magpie")),
    Kind("gull", ("Squawk",), (*_BIRD, "Dog", "Cat", "Crow", "Caw", "Whimper"), ("albatross",)),
    Kind("owl", ("Owl", "Hoot"), (*_BIRD, "Dog"), ("great_grey_owl",)),
    Kind("duck", ("Duck", "Quack", "Goose", "Honk"), _BIRD, ("drake", "red-breasted_merganser", "goose", "black_swan")),
    Kind("chicken", ("Chicken, rooster", "Cluck", "Crowing, cock-a-doodle-doo", "Fowl"), _BIRD, ("cock", "hen")),
    Kind("dog", ("Dog", "Bark", "Bow-wow", "Yip"), _ANIMAL, tuple(_DOGS.split())),
    Kind("cat", ("Cat", "Meow", "Purr", "Caterwaul"), _ANIMAL,
         ("tabby", "tiger_cat", "Persian_cat", "Siamese_cat", "Egyptian_cat", "domestic_cat")),
    Kind("cow", ("Cattle, bovinae", "Moo"), _ANIMAL, ("ox", "water_buffalo", "bison", "cattle")),
    Kind("sheep", ("Sheep", "Bleat", "Goat"), _ANIMAL, ("ram", "bighorn", "sheep")),
    Kind("horse", ("Horse", "Neigh, whinny", "Clip-clop"), _ANIMAL, ("sorrel", "horse_cart", "horse")),
    Kind("pig", ("Pig", "Oink"), (*_ANIMAL, "Snort", "Grunt", "Neigh, whinny"), ("hog", "wild_boar", "swine")),
    Kind("frog", ("Frog", "Croak"), (*_ANIMAL, "Insect", "Cricket"), ("bullfrog", "tree_frog", "tailed_frog", "frog")),
    Kind("cricket", ("Cricket", "Insect"), (*_ANIMAL, "Bird", "Frog", "Rattle (instrument)"),
         ("cricket", "grasshopper", "cicada")),
    Kind("bee", ("Bee, wasp, etc.", "Fly, housefly", "Mosquito", "Buzz"), (*_ANIMAL, "Insect", "Vehicle", "Didgeridoo"),
         ("bee", "fly")),
    # --- traffic and machines ---
    Kind("car", ("Car", "Motor vehicle (road)", "Vehicle horn, car horn, honking", "Traffic noise, roadway noise",
                 "Truck", "Bus", "Car passing by", "Toot"),
         (*_ENGINE, "Engine starting", "Door", "Car alarm", "Air horn, truck horn"),
         ("beach_wagon", "convertible", "limousine", "sports_car", "cab", "jeep", "minivan", "moving_van", "school_bus",
          "trolleybus", "minibus", "pickup", "racer", "tow_truck", "trailer_truck", "garbage_truck", "car", "bus",
          "recreational_vehicle", "Model_T")),
    Kind("motorcycle", ("Motorcycle",), _ENGINE, ("moped", "motor_scooter", "motorcycle")),
    Kind("train", ("Train", "Rail transport", "Railroad car, train wagon", "Train whistle", "Train horn",
                   "Steam whistle", "Subway, metro, underground"),
         ("Vehicle", "Whistle", "Alarm", "Vehicle horn, car horn, honking", "Music"),
         ("bullet_train", "steam_locomotive", "electric_locomotive", "freight_car", "passenger_car", "streetcar",
          "train")),
    Kind("aircraft", ("Aircraft", "Helicopter", "Fixed-wing aircraft, airplane", "Propeller, airscrew", "Jet engine",
                      "Aircraft engine"),
         (*_ENGINE, "Motorboat, speedboat", "Boat, Water vehicle", "White noise", "Rail transport", "Train"),
         ("airliner", "warplane", "airplane", "wing")),
    Kind("boat", ("Boat, Water vehicle", "Rowboat, canoe, kayak", "Sailboat, sailing ship", "Ship", "Foghorn",
                  "Motorboat, speedboat"),
         (*_WATER, "Vehicle", "Music"),
         ("speedboat", "canoe", "gondola", "lifeboat", "catamaran", "yawl", "schooner", "trimaran", "liner", "fireboat",
          "watercraft", "container_ship")),
    Kind("siren", ("Siren", "Emergency vehicle", "Police car (siren)", "Ambulance (siren)",
                   "Fire engine, fire truck (siren)", "Civil defense siren"),
         ("Vehicle", "Motor vehicle (road)", "Alarm", "Car alarm", "Fire alarm"),
         ("ambulance", "fire_engine", "police_van")),
    Kind("chainsaw", ("Chainsaw", "Lawn mower", "Power tool", "Tools"), (*_ENGINE, "Jackhammer"),
         ("chain_saw", "lawn_mower")),
    Kind("washing machine", ("Mechanisms", "Mechanical fan"), ("Vehicle", "Water", *_ENGINE,
         "Boat, Water vehicle", "Rowboat, canoe, kayak", "Motorboat, speedboat", "Sailboat, sailing ship"),
         ("washer", "dishwasher")),
    # --- indoors ---
    Kind("bell", ("Bell", "Church bell", "Change ringing (campanology)", "Chime", "Wind chime"),
         ("Music", "Musical instrument", "Beep, bleep", "Jingle, tinkle"), ("church", "bell_cote", "chime")),
    Kind("clock", ("Clock", "Tick", "Tick-tock"), ("Mechanisms", "Camera", "Wood", "Glass", "Inside, small room",
         "Chink, clink"), ("analog_clock", "wall_clock", "stopwatch")),
    Kind("typing", ("Typing", "Computer keyboard", "Typewriter"), ("Tick", "Plop", "Sound effect"),
         ("computer_keyboard", "typewriter_keyboard", "laptop")),
    Kind("door", ("Door", "Slam", "Sliding door", "Creak", "Squeak", "Cupboard open or close"),
         ("Knock", "Thunk", "Wood", "Thump, thud", "Whack, thwack", "Tap", "Sound effect"),
         ("sliding_door", "turnstile", "wardrobe")),
    Kind("footsteps", ("Walk, footsteps", "Run", "Shuffle"),
         ("Knock", "Thunk", "Thump, thud", "Whoosh, swoosh, swish", "Whack, thwack", "Arrow", "Sound effect", "Water",
          "Splash, splatter", "Liquid", "Fire", "Crackle", "Crunch", "Clip-clop", "Horse", "Door", "Burst, pop"),
         ("sandal", "running_shoe", "clog", "cowboy_boot", "Loafer")),
    Kind("crowd", ("Crowd", "Chatter", "Hubbub, speech noise, speech babble", "Children playing", "Speech",
                   "Children shouting", "Inside, public space", "Cheering", "Applause"),
         ("Conversation", "Laughter", "Child speech, kid speaking", "Shout", "Whoop"),
         ("restaurant", "barbershop", "butcher_shop", "confectionery", "bookshop", "grocery_store", "bakery",
          "person")),
    Kind("glass", ("Glass", "Chink, clink", "Shatter", "Breaking"), ("Ding", "Dishes, pots, and pans", "Sound effect",
         "Jingle, tinkle", "Cutlery, silverware"),
         ("beer_bottle", "pop_bottle", "wine_bottle", "beer_glass", "goblet", "beaker", "red_wine", "water_bottle")),
    # --- instruments ---
    Kind("drum", ("Drum", "Snare drum", "Bass drum", "Drum kit", "Hi-hat", "Cymbal", "Tabla", "Drum roll",
                  "Percussion"), (*_MUSIC, "Drum machine", "Tambourine", "Thump, thud", "Glass", "Chink, clink"),
         ("drum", "drumstick")),
    Kind("guitar", ("Guitar", "Acoustic guitar", "Electric guitar", "Plucked string instrument", "Strum"), _MUSIC,
         ("acoustic_guitar", "electric_guitar", "banjo", "guitar")),
    Kind("violin", ("Violin, fiddle", "Bowed string instrument", "Cello", "Double bass", "String section",
                    "Pizzicato"), _MUSIC, ("violin", "cello")),
    Kind("flute", ("Flute", "Wind instrument, woodwind instrument", "Clarinet"), (*_MUSIC, "Whistle"),
         ("flute", "oboe", "panpipe")),
    Kind("saxophone", ("Saxophone", "Brass instrument", "Trumpet", "Trombone", "French horn"),
         (*_MUSIC, "Wind instrument, woodwind instrument", "Clarinet"),
         ("sax", "saxophone", "bassoon", "cornet", "trombone", "French_horn", "french_horn", "trumpet")),
    Kind("piano", ("Piano", "Keyboard (musical)", "Electric piano"), _MUSIC, ("grand_piano", "upright", "piano")),
)  # fmt: skip

KINDS: dict[str, Kind] = {kind.name: kind for kind in _TABLE}

# Classes that belong to no kind of ours: a recording in which one of them is loud and clear is something else.
FOREIGN = ("Speech", "Child speech, kid speaking", "Conversation", "Narration, monologue", "Screaming", "Laughter",
           "Crying, sobbing", "Music", "Gunshot, gunfire", "Machine gun", "Explosion", "Heart sounds, heartbeat",
           "Telephone", "Fart", "Snoring", "Cough")  # fmt: skip

# Photos of what stands still and says nothing: the negative class of an alignment. They carry the kind "silent".
SILENT = (
    "studio_couch", "table_lamp", "lampshade", "bookcase", "chiffonier", "dining_table", "desk", "folding_chair",
    "rocking_chair", "pillow", "quilt", "vase", "pot", "plate", "mushroom", "orange", "lemon", "banana", "strawberry",
    "broccoli", "cauliflower", "bell_pepper", "pomegranate", "acorn", "pizza", "bagel", "pretzel", "ice_cream",
    "guacamole", "sock", "cardigan", "bow_tie", "sombrero", "sunglasses", "backpack", "purse", "envelope",
    "comic_book", "obelisk", "abacus", "sofa", "chair", "table", "flower_pot", "hat_with_a_wide_brim",
)  # fmt: skip
